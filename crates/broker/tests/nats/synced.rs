//! When what was acknowledged is safe from a power cut: as the servers' own
//! monitors say, and unknown where they do not.

use std::time::Duration;

use broker::nats::{Config, Role, open};
use broker::{Durability, Profile, Synced};
use testkit::nats::{Server, Shipped};

use crate::roles::{declared, part};
use crate::world::{config, refusal};

async fn profile(config: Config, monitors: &[String]) -> Profile {
    open(Config { monitors: monitors.to_vec(), ..config }).await.unwrap().profile
}

fn refused(profile: &Profile) -> String {
    profile.require(Durability::Fsynced).unwrap_err().to_string()
}

#[tokio::test]
async fn a_server_that_syncs_later_says_so() {
    let server = Server::start().await.unwrap();
    let found = profile(config(&server.url()), &[server.monitor()]).await;
    assert_eq!(found.synced, Synced::Within(Duration::from_mins(2)));
    assert_eq!(found.level, Durability::Disk);
    assert!(found.durability.contains("within the last 120s"), "{}", found.durability);
    assert!(refused(&found).contains("up to 120s after it is acknowledged"));
}

#[tokio::test]
async fn what_no_monitor_says_is_not_known() {
    let server = Server::start().await.unwrap();
    let found = profile(config(&server.url()), &[]).await;
    assert!(refused(&found).contains("a server tells only its monitor, and none is named"));
    let other = Server::start().await.unwrap();
    let gone = other.monitor();
    drop(other);
    let found = profile(config(&server.url()), std::slice::from_ref(&gone)).await;
    let why = refused(&found);
    assert!(why.contains(&format!("the monitor at {gone} does not answer")), "{why}");
    let nonsense = Config { monitors: vec!["ftp://x".to_owned()], ..config(&server.url()) };
    assert_eq!(refusal(nonsense).await, "a monitor's URL is http://host:port");
}

#[tokio::test]
async fn three_nodes_sync_only_when_every_one_says_so() {
    let shipped = Shipped::three().await.unwrap();
    declared(&shipped, 3).await;
    let gateway = || part(&shipped, Role::Gateway, 3);
    let monitors = shipped.monitors();
    let found = profile(gateway(), &monitors).await;
    assert_eq!((&found.synced, found.level), (&Synced::Always, Durability::Fsynced));
    for least in Durability::ALL {
        found.require(least).unwrap();
    }
    assert!(found.durability.contains("written through to the disk"), "{}", found.durability);
    let found = profile(gateway(), &monitors[..2]).await;
    assert_eq!(found.level, Durability::Replicated);
    assert!(refused(&found).contains("no monitor of server n2 is named"), "{}", refused(&found));
}
