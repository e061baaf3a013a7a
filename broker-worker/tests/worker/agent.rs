//! An agent over real gRPC that says, call by call, what it was told to; also
//! what no honest agent would say.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use futures::future::{BoxFuture, ready};
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _};
use prost::Message;
use proto::{AskEvent, AskRequest, CancelRequest, CancelResponse, Completed, Rewind, ask_event};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Code, Request, Response, Status};

/// One thing an agent does in a call.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    /// It says this.
    Say(AskEvent),
    /// It sends these bytes as an event.
    Raw(&'static [u8]),
    /// It says so many pieces of text of one letter, from this index on.
    Flood(u32, u32),
    /// It refuses the call, with these words.
    Refuse(&'static str),
    /// The stream breaks, with this status.
    Break(Code),
    /// It takes its time.
    Pause(Duration),
    /// It says nothing more until its caller goes away.
    Hold,
    /// As the first of a list: every later call gets this list too.
    Always,
}

pub(crate) fn text(index: u32, text: &str) -> Line {
    said(0, index, text)
}

/// Text of a run that has a name.
pub(crate) fn said(run: u32, index: u32, text: &str) -> Line {
    Line::Say(AskEvent { index, run, kind: Some(ask_event::Kind::Text(text.to_owned())) })
}

pub(crate) fn rewind(run: u32) -> Line {
    rewind_to(run, 0)
}

/// The beginning of a run that has everything up to an index in common with the
/// one before it.
pub(crate) fn rewind_to(run: u32, to: u32) -> Line {
    Line::Say(AskEvent { index: to, run, kind: Some(ask_event::Kind::Rewind(Rewind { to })) })
}

pub(crate) fn tool_call(run: u32, index: u32) -> Line {
    let call = proto::ToolCall { call_id: index.to_string(), ..proto::ToolCall::default() };
    Line::Say(AskEvent { index, run, kind: Some(ask_event::Kind::ToolCall(call)) })
}

pub(crate) fn completed(index: u32) -> Line {
    ended(0, index)
}

pub(crate) fn ended(run: u32, index: u32) -> Line {
    let kind = ask_event::Kind::Completed(Completed { finish_reason: "stop".to_owned() });
    Line::Say(AskEvent { index, run, kind: Some(kind) })
}

/// What agents were asked, and by which of them.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) calls: Vec<(usize, AskRequest)>,
    pub(crate) cancels: Vec<(usize, String)>,
}

/// One of several agents that share a script.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) number: usize,
    pub(crate) script: Arc<Mutex<Vec<Vec<Line>>>>,
    pub(crate) heard: Arc<Mutex<Heard>>,
    pub(crate) hung_up: Arc<watch::Sender<usize>>,
    /// So many cancels are still lost on them.
    pub(crate) deaf: Arc<AtomicU32>,
}

/// Notices that the caller has gone.
struct Gone(Arc<watch::Sender<usize>>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.send_modify(|it| *it += 1);
    }
}

type Events = BoxStream<'static, Result<Bytes, Status>>;

impl Agent {
    fn ask(&self, request: AskRequest) -> Result<Events, Status> {
        self.heard.lock().unwrap().calls.push((self.number, request));
        let mut script = self.script.lock().unwrap();
        let Some(lines) = script.first().cloned() else {
            return Err(Status::failed_precondition("the script is over"));
        };
        if !matches!(lines.first(), Some(Line::Always)) {
            script.remove(0);
        }
        if let Some(Line::Refuse(why)) = lines.first() {
            return Err(Status::invalid_argument(*why));
        }
        let gone = Gone(Arc::clone(&self.hung_up));
        let said = stream::iter(lines).flat_map(play).inspect(move |_| {
            let _held = &gone;
        });
        Ok(said.boxed())
    }

    fn cancel(&self, request: CancelRequest) -> Result<Bytes, Status> {
        self.heard.lock().unwrap().cancels.push((self.number, request.turn_id));
        let lost = |left: u32| left.checked_sub(1);
        if self.deaf.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lost).is_ok() {
            return Err(Status::unavailable("not now"));
        }
        Ok(CancelResponse { found: true }.encode_to_vec().into())
    }
}

fn play(line: Line) -> Events {
    let one = |it| stream::once(ready(it)).boxed();
    match line {
        Line::Say(event) => one(Ok(event.encode_to_vec().into())),
        Line::Raw(bytes) => one(Ok(Bytes::from_static(bytes))),
        Line::Flood(from, count) => stream::iter(from..from + count)
            .map(|index| {
                let kind = Some(ask_event::Kind::Text("x".to_owned()));
                Ok(AskEvent { index, run: 0, kind }.encode_to_vec().into())
            })
            .boxed(),
        Line::Refuse(why) => one(Err(Status::invalid_argument(why))),
        Line::Break(code) => one(Err(Status::new(code, "broken"))),
        Line::Pause(time) => {
            stream::once(tokio::time::sleep(time)).flat_map(|()| stream::empty()).boxed()
        }
        Line::Hold => stream::pending().boxed(),
        Line::Always => stream::empty().boxed(),
    }
}

/// The agent as a server has it: what it says are bytes, right or wrong.
#[derive(Debug, Clone)]
pub(crate) struct Service(pub(crate) Agent);

impl NamedService for Service {
    const NAME: &'static str = "weir.v1.KnowledgeAgent";
}

impl tower::Service<http::Request<Body>> for Service {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let agent = self.0.clone();
        async move {
            Ok(if request.uri().path().ends_with("/Ask") {
                Grpc::new(Raw::default()).server_streaming(Asking(agent), request).await
            } else {
                Grpc::new(Raw::default()).unary(Cancelling(agent), request).await
            })
        }
        .boxed()
    }
}

struct Asking(Agent);

impl ServerStreamingService<AskRequest> for Asking {
    type Response = Bytes;
    type ResponseStream = Events;
    type Future = BoxFuture<'static, Result<Response<Events>, Status>>;

    fn call(&mut self, request: Request<AskRequest>) -> Self::Future {
        ready(self.0.ask(request.into_inner()).map(Response::new)).boxed()
    }
}

struct Cancelling(Agent);

impl UnaryService<CancelRequest> for Cancelling {
    type Response = Bytes;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<CancelRequest>) -> Self::Future {
        ready(self.0.cancel(request.into_inner()).map(Response::new)).boxed()
    }
}

/// Reads messages, and writes bytes as they are.
#[derive(Debug)]
struct Raw<D>(PhantomData<D>);

impl<D> Default for Raw<D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<D: Message + Default + 'static> Codec for Raw<D> {
    type Encode = Bytes;
    type Decode = D;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<D> Encoder for Raw<D> {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl<D: Message + Default> Decoder for Raw<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        let all = from.copy_to_bytes(from.remaining());
        D::decode(all).map(Some).map_err(|it| Status::internal(it.to_string()))
    }
}
