//! The protocols that the fake model speaks, and what they have in common.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::{Request, Response, Speech, dashscope, openai, plain};

/// What a caller speaks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Protocol {
    OpenAi,
    DashScope,
}

/// A request, and how it wants its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) form: Form,
}

/// How an answer is written down.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    OpenAi,
    DashScope {
        /// Whether an event says only what is new.
        incremental: bool,
    },
}

/// What a caller is refused with.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    /// The protocol's own for the status when absent.
    pub(super) code: Option<String>,
    pub(super) message: String,
}

/// Writes one answer down, event by event.
pub(super) trait Wire: Send {
    /// What comes before the first delta.
    fn opening(&mut self) -> Vec<u8>;

    /// Writes the delta, a JSON object, as one event; says where in `out` the
    /// text that it adds begins.
    fn delta(&mut self, delta: &[u8], out: &mut Vec<u8>) -> usize;

    /// An error in the stream.
    fn error(&mut self, fault: &Fault) -> Vec<u8>;

    /// The end of a whole answer.
    fn closing(&mut self, finish: &str) -> Vec<u8>;
}

impl Fault {
    pub(super) fn new(status: StatusCode, message: String) -> Self {
        Self { status, code: None, message }
    }
}

impl Protocol {
    /// Reads a request.
    pub(super) fn read(self, headers: &HeaderMap, body: &Value) -> Result<Asked, Fault> {
        match self {
            Self::OpenAi => openai::read(body),
            Self::DashScope => dashscope::read(headers, body),
        }
    }

    pub(super) fn unknown_model(self, name: &str) -> Fault {
        let message = format!("the model `{name}` does not exist; there are `script` and `echo`");
        let status = match self {
            Self::OpenAi => StatusCode::BAD_REQUEST,
            Self::DashScope => StatusCode::NOT_FOUND,
        };
        Fault::new(status, message)
    }

    /// An error answer.
    pub(super) fn refusal(self, fault: &Fault) -> Response {
        let body = match self {
            Self::OpenAi => openai::error(fault),
            Self::DashScope => dashscope::error(fault),
        };
        plain(fault.status, &body)
    }

    /// An error as an event of a stream.
    pub(super) fn event(self, fault: &Fault) -> String {
        match self {
            Self::OpenAi => openai::event(fault),
            Self::DashScope => dashscope::event(1, fault),
        }
    }
}

impl Asked {
    pub(super) fn protocol(&self) -> Protocol {
        match self.form {
            Form::OpenAi => Protocol::OpenAi,
            Form::DashScope { .. } => Protocol::DashScope,
        }
    }

    /// With every event repeating everything so far, where a protocol can.
    pub(super) fn repeating(self) -> Self {
        let form = match self.form {
            Form::OpenAi => Form::OpenAi,
            Form::DashScope { .. } => Form::DashScope { incremental: false },
        };
        Self { form, ..self }
    }

    /// The whole answer as one object, for a caller that does not stream.
    pub(super) fn whole(&self, speech: &Speech) -> Value {
        match self.form {
            Form::OpenAi => openai::whole(&self.request, speech),
            Form::DashScope { .. } => dashscope::whole(&self.request, speech),
        }
    }

    /// What writes the answer to the call of that number.
    pub(super) fn wire(&self, call: usize, speech: &Speech) -> Box<dyn Wire> {
        match self.form {
            Form::OpenAi => Box::new(openai::Chunks::new(&self.request, call, speech)),
            Form::DashScope { incremental } => {
                Box::new(dashscope::Events::new(&self.request, call, incremental))
            }
        }
    }
}
