//! What the environment says about the export of traces, in OpenTelemetry's own
//! variables. Pure.
//!
//! What is not known is refused by name, with what is; headers may be secret
//! and are left to the exporter.

use http::Uri;
use opentelemetry_sdk::trace::Sampler;

/// How and how much is exported.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) protocol: Protocol,
    pub(super) sampler: Sampler,
    pub(super) tls: bool,
    /// A file with the certificates that are trusted, instead of the system's.
    pub(super) certificate: Option<String>,
    /// As the environment calls the service.
    pub(super) service: Option<String>,
}

/// What the collector speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Grpc,
    Http,
}

/// What is asked for; `None` when nothing is to be exported.
pub(super) fn wanted(get: impl Fn(&str) -> Option<String>) -> Result<Option<Wanted>, String> {
    let of_traces = |name: &str| {
        let own = format!("OTEL_EXPORTER_OTLP_TRACES_{name}");
        let all = format!("OTEL_EXPORTER_OTLP_{name}");
        [own, all].into_iter().find_map(|it| get(&it).map(|value| (it, value)))
    };
    let disabled = get("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"));
    let Some((variable, endpoint)) = of_traces("ENDPOINT").filter(|_| !disabled) else {
        return Ok(None);
    };
    match get("OTEL_TRACES_EXPORTER").as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(None),
        Some(other) => return Err(unknown("OTEL_TRACES_EXPORTER", other, "otlp and none")),
    }
    // What stands there may hold a password.
    let uri = endpoint.parse::<Uri>().ok().filter(|it| it.host().is_some());
    let tls = match uri.as_ref().and_then(Uri::scheme_str) {
        Some("http") => false,
        Some("https") => true,
        Some(_) | None => {
            return Err(format!("{variable} must be a URL like http://127.0.0.1:4317"));
        }
    };
    let protocol = match of_traces("PROTOCOL") {
        None => Protocol::Grpc,
        Some((_, value)) if value == "grpc" => Protocol::Grpc,
        Some((_, value)) if value == "http/protobuf" => Protocol::Http,
        Some((name, value)) => return Err(unknown(&name, &value, "grpc and http/protobuf")),
    };
    let sampler = get("OTEL_TRACES_SAMPLER");
    let sampler = sampler.as_deref().unwrap_or("parentbased_always_on");
    Ok(Some(Wanted {
        protocol,
        sampler: chosen(sampler, get("OTEL_TRACES_SAMPLER_ARG").as_deref())?,
        tls,
        certificate: of_traces("CERTIFICATE").map(|it| it.1),
        service: get("OTEL_SERVICE_NAME"),
    }))
}

fn chosen(name: &str, argument: Option<&str>) -> Result<Sampler, String> {
    let plain = name.strip_prefix("parentbased_").unwrap_or(name);
    let sampler = match plain {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => Sampler::TraceIdRatioBased(ratio(argument)?),
        _ => {
            let known = "always_on, always_off and traceidratio, each also as parentbased_…";
            return Err(unknown("OTEL_TRACES_SAMPLER", name, known));
        }
    };
    Ok(if plain == name { sampler } else { Sampler::ParentBased(Box::new(sampler)) })
}

fn ratio(argument: Option<&str>) -> Result<f64, String> {
    let Some(argument) = argument else { return Ok(1.0) };
    let ratio = argument.parse().ok().filter(|it| (0.0..=1.0).contains(it));
    ratio.ok_or_else(|| unknown("OTEL_TRACES_SAMPLER_ARG", argument, "numbers from 0 to 1"))
}

fn unknown(variable: &str, value: &str, known: &str) -> String {
    format!("{variable} is {value:?}; supported are {known}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317");

    fn read(set: &[(&str, &str)]) -> Result<Option<Wanted>, String> {
        let found = |name: &str| set.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
        wanted(found)
    }

    #[test]
    fn nothing_is_exported_unless_a_place_is_named() {
        for set in [
            &[][..],
            &[("OTEL_SERVICE_NAME", "weir"), ("OTEL_TRACES_SAMPLER", "always_on")],
            &[PLACE, ("OTEL_SDK_DISABLED", "TRUE")],
            &[PLACE, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert!(read(set).unwrap().is_none(), "{set:?}");
        }
    }

    #[test]
    fn a_signals_own_variables_come_before_the_general_ones() {
        let wanted = read(&[
            PLACE,
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector:4318/v1/traces"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
            ("OTEL_SERVICE_NAME", "mine"),
        ]);
        let wanted = wanted.unwrap().unwrap();
        assert_eq!((wanted.protocol, wanted.tls), (Protocol::Http, true));
        assert_eq!(wanted.service.as_deref(), Some("mine"));
        let wanted = read(&[PLACE]).unwrap().unwrap();
        assert_eq!((wanted.protocol, wanted.tls), (Protocol::Grpc, false));
    }

    #[test]
    fn samplers_are_those_of_the_specification() {
        for (name, argument, expected) in [
            ("always_on", None, "AlwaysOn"),
            ("always_off", None, "AlwaysOff"),
            ("traceidratio", Some("0.25"), "TraceIdRatioBased(0.25)"),
            ("parentbased_always_off", None, "ParentBased(AlwaysOff)"),
            ("parentbased_traceidratio", None, "ParentBased(TraceIdRatioBased(1.0))"),
        ] {
            assert_eq!(format!("{:?}", chosen(name, argument).unwrap()), expected);
        }
    }

    #[test]
    fn what_is_not_known_is_refused_by_name_and_no_place_is_repeated() {
        for (set, variable) in [
            ([PLACE, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")], "OTEL_EXPORTER_OTLP_PROTOCOL"),
            ([PLACE, ("OTEL_TRACES_SAMPLER", "jaeger_remote")], "OTEL_TRACES_SAMPLER"),
            ([PLACE, ("OTEL_TRACES_EXPORTER", "zipkin")], "OTEL_TRACES_EXPORTER"),
            (
                [PLACE, ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "s3cret@collector")],
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            ),
        ] {
            let error = read(&set).unwrap_err();
            assert!(error.contains(variable) && !error.contains("s3cret"), "{error}");
        }
        for wrong in ["2", "-1", "half", "NaN"] {
            assert!(chosen("traceidratio", Some(wrong)).is_err(), "{wrong}");
        }
    }
}
