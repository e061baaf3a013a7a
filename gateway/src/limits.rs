//! How much each user and each address may ask of this gateway. Rates are kept
//! in memory: two gateways allow twice as much. Nothing here is about what a
//! request says.

mod rate;
mod turns;

use std::net::IpAddr;

use proto::UserId;

use crate::Config;
use crate::peer::Neighbours;
use crate::places::{Place, Places};
use crate::problem::{Code, Refusal};

pub(crate) use rate::Exhausted;
use rate::Rate;
use turns::Turns;

/// What is counted.
#[derive(Debug)]
pub(crate) struct Limits {
    users: Rate<UserId>,
    addresses: Rate<Neighbours>,
    failures: Rate<Neighbours>,
    streams: Places<UserId>,
    pub(crate) turns: Turns,
}

impl Limits {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            users: Rate::per_second("user", config.user_requests, config.user_burst),
            addresses: Rate::per_second("address", config.address_requests, config.address_burst),
            failures: Rate::per_minute("failures", config.failures),
            streams: Places::new(config.streams_per_user),
            turns: Turns::new(config),
        }
    }

    /// One more request of a user.
    pub(crate) fn request(&self, user: &UserId) -> Result<(), Refusal> {
        let why = "this user asks too often";
        self.users.take(user).map_err(|it| it.refuse(why))
    }

    /// One more request from an address, whoever it is.
    pub(crate) fn knock(&self, address: IpAddr) -> Result<(), Refusal> {
        let why = "too many requests come from this address";
        self.addresses.take(&Neighbours::of(address)).map_err(|it| it.refuse(why))
    }

    /// One more request from an address whose credential is no good. Others from
    /// there may have better ones.
    pub(crate) fn failure(&self, address: IpAddr) -> Result<(), Refusal> {
        let why = "too many bad credentials come from this address";
        self.failures.take(&Neighbours::of(address)).map_err(|it| it.refuse(why))
    }

    /// Room for one more open stream of a user.
    pub(crate) fn stream(&self, user: &UserId) -> Result<Place<UserId>, Refusal> {
        let room = self.streams.enter(user.clone());
        room.ok_or_else(|| {
            Refusal::new(Code::TooManyStreams, "this user has as many open streams as one may have")
        })
    }
}
