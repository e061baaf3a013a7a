//! The codes of [`Failed`](crate::Failed): stable words for programs. The one
//! table of them; who fails a turn takes its code from here.
//!
//! | code | said by | meaning | asking again may work |
//! | --- | --- | --- | --- |
//! | `first_token_timeout` | agent | the model said nothing in time | yes |
//! | `token_timeout` | agent | the model fell silent in its answer | yes |
//! | `turn_timeout` | agent, worker | the turn took longer than one may | no |
//! | `too_long` | agent | the answer grew past what one turn may say | no |
//! | `store_unavailable` | agent | the transcript could not be read or stored | yes |
//! | `model_unavailable` | agent | the model's endpoint cannot be used | yes |
//! | `model_rate_limited` | agent | the model's endpoint takes no more for now | yes |
//! | `model_cut` | agent | the model's answer broke off | yes |
//! | `model_auth` | agent | the model's endpoint refused the key | no |
//! | `model_quota` | agent | the account at the model is used up | no |
//! | `model_context_length` | agent | the conversation is too long for the model | no |
//! | `model_unknown` | agent | the endpoint does not know the model | no |
//! | `model_error` | agent | the model's endpoint failed in another way | as it says |
//! | `knowledge_unavailable` | agent | the knowledge cannot be searched | yes |
//! | `turn_over` | agent | the turn had ended, and the conversation went on | no |
//! | `unknown_turn` | agent | the turn whose place this one was to take is not there | no |
//! | `step_limit` | agent | the turn took more steps than one may | no |
//! | `token_limit` | agent | the turn used more tokens than one may | no |
//! | `decision_refused` | agent | a human's decision does not fit what is pending | no |
//! | `decision_expired` | agent | a human's decision came too late | no |
//! | `invalid_request` | worker | the agent refused the question | no |
//! | `agent_refused` | worker | the agent refused the worker | no |
//! | `agent_busy` | worker | the agent has no room for another turn | yes |
//! | `agent_unavailable` | worker | no agent answered for long | yes |
//! | `agent_silent` | worker | the agent said nothing for long | yes |
//! | `agent_broken` | worker | the agent broke the contract | yes |
//! | `event_too_large` | worker | one event was past what the log takes | no |
//! | `attempts_exhausted` | worker | too many attempts made no progress | yes |
//! | `unreadable` | worker | the job is of a format that cannot be read | no |
//! | `lost` | worker | the turn's job was lost while it ran | yes |

macro_rules! codes {
    ($($name:ident = $code:literal,)*) => {
        $(
            #[doc = concat!("`", $code, "`: see the table above.")]
            pub const $name: &str = $code;
        )*

        /// All of them.
        pub const ALL: &[&str] = &[$($code),*];
    };
}

codes! {
    FIRST_TOKEN_TIMEOUT = "first_token_timeout",
    TOKEN_TIMEOUT = "token_timeout",
    TURN_TIMEOUT = "turn_timeout",
    TOO_LONG = "too_long",
    STORE_UNAVAILABLE = "store_unavailable",
    MODEL_UNAVAILABLE = "model_unavailable",
    MODEL_RATE_LIMITED = "model_rate_limited",
    MODEL_CUT = "model_cut",
    MODEL_AUTH = "model_auth",
    MODEL_QUOTA = "model_quota",
    MODEL_CONTEXT_LENGTH = "model_context_length",
    MODEL_UNKNOWN = "model_unknown",
    MODEL_ERROR = "model_error",
    KNOWLEDGE_UNAVAILABLE = "knowledge_unavailable",
    TURN_OVER = "turn_over",
    UNKNOWN_TURN = "unknown_turn",
    STEP_LIMIT = "step_limit",
    TOKEN_LIMIT = "token_limit",
    DECISION_REFUSED = "decision_refused",
    DECISION_EXPIRED = "decision_expired",
    INVALID_REQUEST = "invalid_request",
    AGENT_REFUSED = "agent_refused",
    AGENT_BUSY = "agent_busy",
    AGENT_UNAVAILABLE = "agent_unavailable",
    AGENT_SILENT = "agent_silent",
    AGENT_BROKEN = "agent_broken",
    EVENT_TOO_LARGE = "event_too_large",
    ATTEMPTS_EXHAUSTED = "attempts_exhausted",
    UNREADABLE = "unreadable",
    LOST = "lost",
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_and_the_constants_name_the_same_codes() {
        let source = include_str!("code.rs");
        let rows = source.lines().filter_map(|it| it.strip_prefix("//! | `"));
        let named: Vec<&str> = rows.filter_map(|it| it.split('`').next()).collect();
        assert_eq!(named, super::ALL);
    }
}
