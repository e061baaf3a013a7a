//! What DashScope's words for errors mean, after the vendor's list of error
//! codes. Pure.

use serde_json::Value;

use crate::fault::Kind;

/// What the word means; `None` leaves it to the status.
pub(super) fn meaning(word: &str, error: &Value) -> Option<Kind> {
    let message = error["message"].as_str().unwrap_or("");
    match word {
        "InvalidApiKey" | "invalid_api_key" => Some(Kind::Auth),
        // What was given for free does not come back; what is given by the
        // minute does, although both are called a quota.
        _ if word.starts_with("Throttling") && message.contains("Free allocated quota") => {
            Some(Kind::Quota)
        }
        _ if word.starts_with("Throttling") => Some(Kind::RateLimited),
        "LimitRequests" | "limit_requests" => Some(Kind::RateLimited),
        "Arrearage"
        | "AllocationQuota.FreeTierOnly"
        | "CommodityNotPurchased"
        | "PrepaidBillOverdue"
        | "PostpaidBillOverdue" => Some(Kind::Quota),
        "ModelNotFound" | "model_not_found" | "model_not_supported" => Some(Kind::UnknownModel),
        _ if too_long(message) => Some(Kind::ContextLength),
        "InvalidParameter" | "invalid_parameter_error" if message.contains("Model not exist") => {
            Some(Kind::UnknownModel)
        }
        _ if is_inspection(error) || word.ends_with("InvalidParameter") => Some(Kind::Refused),
        _ if word == "AccessDenied" || word.ends_with(".AccessDenied") => Some(Kind::Auth),
        _ if word.starts_with("AccessDenied.") => Some(Kind::Auth),
        "RequestTimeOut" | "ResponseTimeout" | "SystemError" | "ModelServingError"
        | "ModelServiceFailed" | "ModelUnavailable" | "ServiceUnavailable" => {
            Some(Kind::Unavailable)
        }
        _ if word.starts_with("InternalError") => Some(Kind::Unavailable),
        _ => None,
    }
}

/// Whether something was refused for what it says.
pub(super) fn is_inspection(error: &Value) -> bool {
    let word = error["code"].as_str().unwrap_or("");
    matches!(word, "DataInspectionFailed" | "data_inspection_failed")
}

fn too_long(message: &str) -> bool {
    ["Range of input length", "token length exceed", "maximum context length"]
        .iter()
        .any(|it| message.contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_word_of_the_vendor_has_a_meaning() {
        for (word, message, want) in [
            ("InvalidApiKey", "Invalid API-key provided.", Some(Kind::Auth)),
            ("AccessDenied", "Access denied.", Some(Kind::Auth)),
            ("AccessDenied.Unpurchased", "Access to model denied.", Some(Kind::Auth)),
            ("Workspace.AccessDenied", "Workspace access denied.", Some(Kind::Auth)),
            ("Throttling", "Requests throttling triggered.", Some(Kind::RateLimited)),
            ("Throttling.RateQuota", "Requests rate limit exceeded.", Some(Kind::RateLimited)),
            ("Throttling.AllocationQuota", "Allocated quota exceeded.", Some(Kind::RateLimited)),
            ("Throttling.AllocationQuota", "Free allocated quota exceeded.", Some(Kind::Quota)),
            ("Arrearage", "Access denied.", Some(Kind::Quota)),
            ("AllocationQuota.FreeTierOnly", "", Some(Kind::Quota)),
            ("PostpaidBillOverdue", "", Some(Kind::Quota)),
            ("ModelNotFound", "Model can not be found.", Some(Kind::UnknownModel)),
            ("InvalidParameter", "Model not exist.", Some(Kind::UnknownModel)),
            (
                "InvalidParameter",
                "Range of input length should be [1, 6000]",
                Some(Kind::ContextLength),
            ),
            ("InternalError.Algo.InvalidParameter", "Range of top_p", Some(Kind::Refused)),
            ("InvalidParameter", "Temperature should be in [0.0, 2.0)", Some(Kind::Refused)),
            ("DataInspectionFailed", "Input data may contain …", Some(Kind::Refused)),
            ("InternalError", "", Some(Kind::Unavailable)),
            ("InternalError.Timeout", "", Some(Kind::Unavailable)),
            ("RequestTimeOut", "", Some(Kind::Unavailable)),
            ("ModelUnavailable", "", Some(Kind::Unavailable)),
            ("Mystery", "", None),
            ("", "", None),
        ] {
            let error = json!({ "code": word, "message": message });
            assert_eq!(meaning(word, &error), want, "{error}");
        }
    }
}
