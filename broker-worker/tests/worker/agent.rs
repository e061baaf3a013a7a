//! An agent over real gRPC that says, call by call, what it was told to.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures::{Stream, StreamExt as _, stream};
use proto::knowledge_agent_server::KnowledgeAgent;
use proto::{AskEvent, AskRequest, CancelRequest, CancelResponse, Completed, ask_event};
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};

/// One thing an agent does in a call.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    /// It says this.
    Say(AskEvent),
    /// It refuses the call, with these words.
    Refuse(&'static str),
    /// The stream breaks, with this status.
    Break(Code),
    /// It says nothing more until its caller goes away.
    Hold,
}

pub(crate) fn text(index: u32, text: &str) -> Line {
    Line::Say(AskEvent { index, kind: Some(ask_event::Kind::Text(text.to_owned())) })
}

pub(crate) fn completed(index: u32) -> Line {
    let kind = ask_event::Kind::Completed(Completed { finish_reason: "stop".to_owned() });
    Line::Say(AskEvent { index, kind: Some(kind) })
}

/// What an agent was asked.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) calls: Vec<AskRequest>,
    pub(crate) cancels: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) script: Arc<Mutex<Vec<Vec<Line>>>>,
    pub(crate) heard: Arc<Mutex<Heard>>,
    pub(crate) hung_up: Arc<watch::Sender<usize>>,
}

/// Notices that the caller has gone.
struct Gone(Arc<watch::Sender<usize>>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.send_modify(|it| *it += 1);
    }
}

#[tonic::async_trait]
impl KnowledgeAgent for Agent {
    type AskStream = Pin<Box<dyn Stream<Item = Result<AskEvent, Status>> + Send>>;

    async fn ask(&self, request: Request<AskRequest>) -> Result<Response<Self::AskStream>, Status> {
        self.heard.lock().unwrap().calls.push(request.into_inner());
        let mut script = self.script.lock().unwrap();
        if script.is_empty() {
            return Err(Status::failed_precondition("the script is over"));
        }
        let lines = script.remove(0);
        if let Some(Line::Refuse(why)) = lines.first() {
            return Err(Status::invalid_argument(*why));
        }
        let gone = Gone(Arc::clone(&self.hung_up));
        let said = stream::iter(lines).then(move |line| {
            let _held = &gone;
            async move {
                match line {
                    Line::Say(event) => Ok(event),
                    Line::Refuse(why) => Err(Status::invalid_argument(why)),
                    Line::Break(code) => Err(Status::new(code, "broken")),
                    Line::Hold => std::future::pending().await,
                }
            }
        });
        Ok(Response::new(Box::pin(said)))
    }

    async fn cancel(
        &self,
        request: Request<CancelRequest>,
    ) -> Result<Response<CancelResponse>, Status> {
        self.heard.lock().unwrap().cancels.push(request.into_inner().turn_id);
        Ok(Response::new(CancelResponse { found: true }))
    }
}
