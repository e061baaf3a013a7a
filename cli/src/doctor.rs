//! `weir doctor`: looks at everything that a question needs, in the order of its
//! way, and says of each thing that is not as it should be what to do.
//!
//! Changes nothing, starts nothing, and shows no secret. All looks are bounded
//! in time and run at once.

mod agent;
mod configuration;
mod disk;
mod finding;
mod gateway;
mod knowledge;
mod limits;
mod model;
mod nats;
mod tools;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use finding::{Finding, Outcome};

use crate::flags::Doctor;
use crate::terminal::Style;
use crate::{Ended, edge, output, settings};

pub(crate) async fn run(flags: Doctor) -> Ended {
    if flags.mind.print_config {
        return settings::print(&flags.mind);
    }
    if flags.edge.print_gateway_config {
        return edge::print(&flags.edge);
    }
    // What the libraries would log is said here, with what to do.
    process::telemetry("off");
    let mut findings = look(&flags).await;
    findings.retain(|it| flags.verbose || it.outcome != Outcome::Off);
    if flags.json {
        findings.iter().try_for_each(|it| output::json(&it.json()))?;
    } else {
        let style = Style::of(&std::io::stdout());
        let lines: Vec<_> = findings.iter().map(|it| it.lines(style)).collect();
        output::print(&lines.concat())?;
        output::line(&finding::counted(&findings))?;
    }
    Ok(if finding::has_failed(&findings) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// In the order of a question's way.
async fn look(flags: &Doctor) -> Vec<Finding> {
    let mind = settings::read(&flags.mind);
    let config = mind.as_ref().ok();
    let (configured, gateway, disk, nats, agent, model, knowledge, tools) = tokio::join!(
        Box::pin(configuration::look(flags, &mind)),
        Box::pin(gateway::look(flags)),
        Box::pin(disk::look(flags)),
        Box::pin(nats::look(flags)),
        Box::pin(agent::look(flags)),
        Box::pin(model::look(flags, config)),
        Box::pin(knowledge::look(config)),
        Box::pin(tools::look(config)),
    );
    let others = [gateway.as_slice(), disk.as_slice()].concat();
    let agent = agent.into_iter().filter(|it| !agent::is_elsewhere(it, &others)).collect();
    [configured, limits::look(), gateway, disk, nats, agent, model, knowledge, tools].concat()
}

/// The URL of what this machine serves at an address.
fn near(address: SocketAddr, encrypted: bool) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    let scheme = if encrypted { "https" } else { "http" };
    format!("{scheme}://{}", SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_serves_is_looked_for_where_it_would_be() {
        for (address, encrypted, url) in [
            ("127.0.0.1:50051", false, "http://127.0.0.1:50051"),
            ("0.0.0.0:1", true, "https://127.0.0.1:1"),
            ("[::]:1", false, "http://[::1]:1"),
            ("10.0.0.1:1", false, "http://10.0.0.1:1"),
        ] {
            assert_eq!(near(address.parse().unwrap(), encrypted), url);
        }
    }
}
