//! The ports that a node listens on.
//!
//! Must not know what is spoken there.

use super::{Findings, data};
use crate::config::NodeConfig;
use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
};

pub(super) fn look(findings: &mut Findings<'_>, config: &NodeConfig, data_said: bool) {
    let addresses = &config.addresses;
    let keys = [("listen", Some(addresses.listen)), ("metrics_listen", addresses.metrics_listen)];
    // A node that runs in the data folder has its ports.
    let running = data_said && data::is_locked(&config.jobs.data);
    // Both are held at once, as a node does.
    let mut held: Vec<TcpListener> = Vec::new();
    for (key, address) in keys.into_iter().filter_map(|(key, address)| Some((key, address?))) {
        let said = format!("{key} = {address}");
        match TcpListener::bind(address) {
            Ok(listener) => {
                findings.fine(format!("{said}: is free"));
                held.push(listener);
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse && has_port(&held, address.port()) => {
                findings.error(format!("{said}: is the port of listen as well"), format!("set {key} to another port"));
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse && running => {
                findings.fine(format!("{said}: in use, as a node runs in the data folder"));
            }
            Err(error) => findings.error(format!("{said}: {}", why(&error)), remedy(key, address, &error)),
        }
    }
    if addresses.listen.ip().to_canonical().is_loopback()
        || (config.server.listen.tls.is_some() && !config.clients.is_empty())
    {
        return;
    }
    let what = format!(
        "listen = {}: anybody who reaches it may use the node, and read along (allow_insecure)",
        addresses.listen
    );
    findings.warn(what, "set tokens_file, tls.cert and tls.key, or keep the port behind something that has them");
}

fn has_port(held: &[TcpListener], port: u16) -> bool {
    held.iter().any(|listener| listener.local_addr().is_ok_and(|own| own.port() == port))
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => "another program listens there".to_owned(),
        ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        ErrorKind::PermissionDenied => "this user may not listen on a port below 1024".to_owned(),
        _ => error.to_string(),
    }
}

fn remedy(key: &str, address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    match error.kind() {
        ErrorKind::AddrInUse => {
            format!("see who does (ss -ltnp 'sport = :{port}') and end it, or set {key} to another port")
        }
        ErrorKind::AddrNotAvailable => format!("set {key} to an address that `ip address` lists, or to 0.0.0.0:{port}"),
        ErrorKind::PermissionDenied => {
            format!("set {key} to a port from 1024 on, or give the unit CAP_NET_BIND_SERVICE")
        }
        _ => format!("set {key} to another address"),
    }
}
