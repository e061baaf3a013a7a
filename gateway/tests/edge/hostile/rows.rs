//! How each route of the edge's document is asked well. What is asked badly is
//! made from this.

use serde_json::{Value, json};

use super::raw::{Request, encoded};

/// Where a request names something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum In {
    Path,
    Query,
    Body,
    Header,
}

/// What is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Id {
    User,
    Session,
    Memory,
    Model,
}

/// A name in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: In,
    pub(super) name: &'static str,
    pub(super) id: Id,
    /// An empty name is none.
    pub(super) optional: bool,
}

/// In whose words a route refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Problem,
    Agent,
    OpenAi,
}

/// A route, asked well.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) places: Vec<Place>,
    query: Vec<(&'static str, &'static str)>,
    headers: Vec<(&'static str, &'static str)>,
    pub(super) body: Option<Value>,
    /// What it is answered.
    pub(super) well: u16,
}

const USER_IN_QUERY: Place = place(In::Query, "userId", Id::User);
const USER_IN_BODY: Place = place(In::Body, "userId", Id::User);
const SESSION_IN_PATH: Place = place(In::Path, "session", Id::Session);
const AGENT_USER: Place = place(In::Body, "user_id", Id::User);
const AGENT_SESSION: Place = place(In::Body, "session_id", Id::Session);
const AGENT_USER_IN_PATH: Place = place(In::Path, "user_id", Id::User);
const AGENT_SESSION_IN_PATH: Place = place(In::Path, "session_id", Id::Session);

const fn place(at: In, name: &'static str, id: Id) -> Place {
    Place { at, name, id, optional: false }
}

const fn optional(at: In, name: &'static str, id: Id) -> Place {
    Place { at, name, id, optional: true }
}

impl Place {
    /// What a row that is asked well has here.
    pub(super) fn good(self) -> &'static str {
        match self.id {
            Id::User => "u",
            Id::Session => "s",
            Id::Memory => "0198c0de-0000-7000-8000-000000000001",
            Id::Model => "weir",
        }
    }
}

impl Row {
    fn new(method: &'static str, path: &'static str, places: &[Place], well: u16) -> Self {
        let places = places.to_vec();
        Self { method, path, places, query: Vec::new(), headers: Vec::new(), body: None, well }
    }

    fn with(mut self, body: Value) -> Self {
        self.headers.push(("content-type", "application/json"));
        self.body = Some(body);
        self
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Method and path, as messages name it.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub(super) fn family(&self) -> Family {
        if self.path.starts_with("/agent/") {
            return Family::Agent;
        }
        if self.path.starts_with("/v1/chat/") || self.path.starts_with("/v1/models") {
            return Family::OpenAi;
        }
        Family::Problem
    }

    /// Whether unknown fields are refused.
    pub(super) fn is_native(&self) -> bool {
        self.path.starts_with("/v1/") && self.family() == Family::Problem
    }

    /// Whether a request changes something, as far as a browser's page may do it.
    pub(super) fn has_effects(&self) -> bool {
        self.method != "GET" || ["/stream", "/chat"].contains(&self.path)
    }

    /// Whether a question is asked.
    pub(super) fn asks(&self) -> bool {
        let asked = self.body.as_ref().is_some_and(|it| {
            ["input", "query", "messages"].iter().any(|name| it.get(name).is_some())
        });
        asked || self.path == "/stream"
    }

    pub(super) fn place(&self, id: Id) -> Option<Place> {
        self.places.iter().copied().find(|it| it.id == id)
    }

    /// Asked well.
    pub(super) fn request(&self) -> Request {
        self.named(&[])
    }

    /// Asked well, but for what it names in these places.
    pub(super) fn named(&self, named: &[(Place, &[u8])]) -> Request {
        let mut path = self.path.to_owned();
        let mut query: Vec<String> =
            self.query.iter().map(|it| format!("{}={}", it.0, it.1)).collect();
        let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
        for (name, value) in &self.headers {
            headers.push(((*name).to_owned(), value.as_bytes().to_vec()));
        }
        let mut body = self.body.clone();
        for place in &self.places {
            let other = named.iter().find(|it| it.0 == *place).map(|it| it.1);
            let value = other.unwrap_or(place.good().as_bytes());
            match place.at {
                In::Path => {
                    path = path.replace(&format!("{{{}}}", place.name), &encoded(value));
                }
                In::Query => query.push(format!("{}={}", place.name, encoded(value))),
                In::Header => headers.push((place.name.to_owned(), value.to_vec())),
                In::Body => {
                    let text = String::from_utf8_lossy(value);
                    body.as_mut().unwrap()[place.name] = text.into();
                }
            }
        }
        let target = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
        let body = body.map(|it| it.to_string().into_bytes());
        Request { method: self.method.to_owned(), target, headers, body, is_measured: true }
    }

    /// Asked with this body.
    pub(super) fn sending(&self, body: impl Into<Vec<u8>>) -> Request {
        Request { body: Some(body.into()), ..self.request() }
    }

    /// The body that is sent when it is asked well.
    pub(super) fn sent(&self) -> Option<Value> {
        let body = self.request().body?;
        Some(serde_json::from_slice(&body).unwrap())
    }
}

/// Every route, in an order in which all can be asked.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = native();
    rows.extend(agents());
    rows.extend(chats());
    rows.push(Row::new("DELETE", "/v1/sessions/{session}", &[SESSION_IN_PATH, USER_IN_QUERY], 200));
    rows
}

fn native() -> Vec<Row> {
    let session = "/v1/sessions/{session}";
    let turns = "/v1/sessions/{session}/turns";
    let read = [SESSION_IN_PATH, USER_IN_QUERY];
    let write = [SESSION_IN_PATH, USER_IN_BODY];
    let memory = [place(In::Path, "id", Id::Memory), USER_IN_QUERY];
    let ticket = [USER_IN_BODY, place(In::Body, "sessionId", Id::Session)];
    let decision = json!({"callId": "c", "argumentsHash": "0".repeat(64), "type": "accept"});
    let turn = "00000000-0000-7000-8000-000000000001";
    let decisions = json!({"turnId": turn, "decisions": [decision]});
    vec![
        Row::new("GET", "/healthz", &[], 200),
        Row::new("GET", "/readyz", &[], 200),
        Row::new("GET", "/v1/status", &[], 200),
        Row::new("GET", "/v1/me", &[USER_IN_QUERY], 200),
        Row::new("GET", "/v1/sessions", &[USER_IN_QUERY], 200),
        Row::new("POST", turns, &write, 200)
            .with(json!({"input": "Why?"}))
            .header("accept", "application/json"),
        Row::new("GET", session, &read, 200),
        Row::new("PATCH", session, &write, 200).with(json!({"title": "t"})),
        Row::new("GET", turns, &read, 200),
        Row::new("GET", "/v1/sessions/{session}/events", &read, 200),
        Row::new("POST", "/v1/sessions/{session}/cancel", &write, 409).with(json!({})),
        Row::new("POST", "/v1/sessions/{session}/decisions", &write, 404).with(decisions),
        Row::new("GET", "/v1/memories", &[USER_IN_QUERY], 200),
        Row::new("POST", "/v1/memories", &[USER_IN_BODY], 201).with(json!({"text": "tea"})),
        Row::new("DELETE", "/v1/memories/{id}", &memory, 404),
        Row::new("POST", "/v1/tickets", &ticket, 201).with(json!({"purpose": "events"})),
    ]
}

fn agents() -> Vec<Row> {
    let both = [AGENT_USER, AGENT_SESSION];
    let in_path = [AGENT_USER_IN_PATH, AGENT_SESSION_IN_PATH];
    let ask = json!({"query": "Why?", "system_message": "Be brief."});
    let resume = json!({"response_type": "accept"});
    vec![
        Row::new("POST", "/agent/invoke", &both, 200).with(ask.clone()),
        Row::new("POST", "/agent/invoke/stream", &both, 200).with(ask),
        Row::new("POST", "/agent/resume", &both, 404).with(resume.clone()),
        Row::new("POST", "/agent/resume/stream", &both, 404).with(resume),
        Row::new("GET", "/agent/sessionids/{user_id}", &[AGENT_USER_IN_PATH], 200),
        Row::new("GET", "/agent/active/sessionid/{user_id}", &[AGENT_USER_IN_PATH], 200),
        Row::new("GET", "/agent/status/{user_id}/{session_id}", &in_path, 200),
        Row::new("POST", "/agent/write/longterm", &[AGENT_USER], 200)
            .with(json!({"memory_info": "tea"})),
        Row::new("DELETE", "/agent/session/{user_id}/{session_id}", &in_path, 200),
    ]
}

fn chats() -> Vec<Row> {
    let user = place(In::Query, "username", Id::User);
    let said = json!({"messages": [{"role": "user", "content": "Why?"}]});
    let in_body = [USER_IN_BODY, optional(In::Body, "sessionId", Id::Session)];
    let in_query = [USER_IN_QUERY, optional(In::Query, "sessionId", Id::Session)];
    let openai =
        [optional(In::Body, "user", Id::User), optional(In::Header, "x-session-id", Id::Session)];
    let mut stream = Row::new("GET", "/stream", &[user], 200);
    stream.query.push(("query", "Why?"));
    vec![
        Row::new("POST", "/chat", &in_body, 200).with(said.clone()),
        Row::new("GET", "/chat", &in_query, 101)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        stream,
        Row::new("POST", "/v1/chat/completions", &openai, 200).with(said),
        Row::new("GET", "/v1/models", &[], 200),
        Row::new("GET", "/v1/models/{id}", &[place(In::Path, "id", Id::Model)], 200),
    ]
}
