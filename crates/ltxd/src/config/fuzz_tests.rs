//! Hostile configuration: files, variables, flags and tokens of every kind. None may panic, what is refused names its key or
//! its source, and what is accepted keeps every limit that defaults.toml documents.
//!
//! Must not look names up: an address is replaced where it would be asked of a resolver.

use super::{
    ConfigError, NodeConfig, Sources,
    layers::{DEFAULTS, Layers},
    tokens,
};
use clap::Parser;
use ltx_server::Listen;
use ltx_testkit::fuzz::{Verdict, campaign, damaged, edits, odd_text};
use proptest::{arbitrary::any, collection::vec, option, prop_oneof, sample::select, strategy::Strategy};
use std::{ffi::OsString, fs, net::SocketAddr, os::unix::ffi::OsStringExt, path::Path};
use toml::{Table, Value};

/// Every key, and some that are none.
fn keys() -> Vec<String> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.push(format!("{section}{key}"));
        }
    }
    keys.extend(
        ["", ".", "limits", "limits.", "limits.queued.x", "lisen", "LISTEN", "tls.CERT", "a.b.c.d"].map(str::to_owned),
    );
    keys
}

/// What might be said for any key.
fn value() -> impl Strategy<Value = String> {
    let plain = [
        "0",
        "1",
        "-1",
        "7",
        "60",
        "1000",
        "4096",
        "33554432",
        "9223372036854775807",
        "-9223372036854775808",
        "1.5",
        "0.0",
        "-0.0",
        "1e308",
        "inf",
        "nan",
        "-nan",
        "true",
        "false",
        "\"\"",
        "\"f16\"",
        "\"json\"",
        "\"info\"",
        "\"127.0.0.1:0\"",
        "\"[::1]:1\"",
        "\"0.0.0.0:1\"",
        "\"127.0.0.1\"",
        "\"127.0.0.1:65536\"",
        "\"ltx=debug,[{x\"",
        "[]",
        "[\"a\"]",
        "[1]",
        "[\"a\", 1]",
        "[[]]",
        "{}",
        "{ a = 1 }",
        "1979-05-27T07:32:00Z",
        "0x7f",
        "1_000",
    ];
    prop_oneof![5 => select(plain.to_vec()).prop_map(str::to_owned), 1 => odd_text().prop_map(|text| Value::String(text).to_string())]
}

/// Checks layers as a node would, but for names that a resolver would be asked for.
fn checked(layers: Layers, data: &Path) -> Result<NodeConfig, ConfigError> {
    let table: Table = layers.extract()?;
    let mut replaced = Vec::new();
    for key in ["listen", "metrics_listen"] {
        let said = table[key].as_str().unwrap_or_default().to_owned();
        let resolved = said.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if resolved && said.parse::<SocketAddr>().is_err() {
            replaced.push((key, "127.0.0.1:1"));
        }
    }
    let data = data.display().to_string();
    if table["data_dir"].as_str() == Some("") {
        replaced.push(("data_dir", data.as_str()));
    }
    NodeConfig::of(&layers.set(replaced)?)
}

/// Looks at what came of it.
fn looked(result: Result<NodeConfig, ConfigError>) -> Verdict {
    match &result {
        Ok(config) => {
            let NodeConfig { addresses, jobs, server, engine, models, clients, .. } = config;
            let beyond = !addresses.listen.ip().to_canonical().is_loopback();
            let Listen { tokens, tls, allow_unprotected } = &server.listen;
            assert!(!beyond || *allow_unprotected || (!tokens.is_empty() && tls.is_some()));
            assert_eq!(clients.len(), tokens.len());
            assert!((1..=3600).contains(&server.shutdown_time.as_secs()));
            assert!(
                (2 << 20..=256 << 20).contains(&server.limits.message_bytes.get()) && jobs.limits.queued.get() >= 1
            );
            let rate = jobs.limits.requests_per_second.get();
            assert!(rate > 0.0 && rate <= 1e6);
            assert!((1 << 10..=256 << 20).contains(&jobs.limits.image_bytes.get()));
            let limits = &server.limits;
            assert!((1..=1 << 20).contains(&limits.prompt_bytes.get()) && limits.large_requests.get() >= 1);
            assert!((1..=1 << 20).contains(&limits.connections.get()));
            let (handshake, idle) = (limits.handshake_time, limits.connection_idle_time);
            for time in [handshake, idle, limits.call_time, limits.upload_time, limits.idle_time] {
                assert!((1..=86_400).contains(&time.as_secs()));
            }
            let kept = &jobs.retention;
            assert!(kept.records_for >= kept.outputs_for && !kept.outputs_for.is_zero());
            assert!(!models.served.is_empty() && ltx_nn::DTYPES.contains(&engine.dtype.as_str()));
            // The log's filter is judged where the log is made; it must not panic either.
            let _ = crate::node::log::filter(&config.log);
        }
        Err(error) => {
            let said = error.to_string();
            let named = match error {
                ConfigError::Read { path, .. } | ConfigError::Syntax { path, .. } | ConfigError::Token { path, .. } => {
                    path.display().to_string()
                }
                ConfigError::Unknown { key, .. } | ConfigError::Kind { key, .. } => key.clone(),
                ConfigError::Value { place, key, .. } => {
                    assert!(place.as_ref().is_none_or(|place| said.starts_with(place)), "{said:?}");
                    key.clone()
                }
                ConfigError::NoValue(what) | ConfigError::NotUtf8(what) => what.clone(),
                ConfigError::Inconsistent(_) => panic!("every key and kind was looked at: {error:?}"),
            };
            assert!(said.contains(&named), "{named:?} is not in {said:?}");
        }
    }
    Verdict::of(&result)
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    sources: Sources,
}

#[test]
fn fuzz_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    let of_file = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        checked(Layers::defaults()?.file(&file)?, folder.path())
    };
    campaign("configuration: damaged files", &edits(5), |edits| looked(of_file(&damaged(DEFAULTS.into(), &edits))));

    let quoted =
        (any::<bool>(), select(keys())).prop_map(|(quoted, key)| if quoted { format!("{key:?}") } else { key });
    let key = prop_oneof![9 => select(keys()), 1 => quoted, 1 => odd_text().prop_map(|text| format!("{text:?}"))];
    campaign("configuration: files of any keys and values", &vec((key, value()), 0..4), |lines| {
        let lines: Vec<_> = lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        looked(of_file(lines.concat().as_bytes()))
    });

    let bytes =
        || prop_oneof![value().prop_map(|text| text.trim_matches('"').as_bytes().to_vec()), vec(any::<u8>(), 0..12)];
    let name = prop_oneof![
        9 => select(keys()).prop_map(|key| format!("LTXD_{}", key.replace('.', "_").to_uppercase()).into_bytes()),
        1 => vec(any::<u8>(), 0..6).prop_map(|tail| [b"LTXD_".to_vec(), tail].concat()),
        1 => vec(any::<u8>(), 0..6),
    ];
    campaign("configuration: variables", &vec((name, bytes()), 0..4), |variables| {
        let variables =
            variables.into_iter().map(|(name, value)| (OsString::from_vec(name), OsString::from_vec(value)));
        let layered = Layers::defaults().and_then(|layers| layers.environment(variables));
        looked(layered.and_then(|layers| checked(layers, folder.path())))
    });

    let assignment = (select(keys()), value(), any::<bool>()).prop_map(|(key, value, quoted)| {
        let value = if quoted { value.as_str() } else { value.trim_matches('"') };
        format!("--set={key}={value}")
    });
    let flag = select(vec![
        "--listen",
        "--metrics-listen",
        "--data-dir",
        "--models-dir",
        "--model",
        "--set",
        "--allow-insecure",
    ]);
    let flag = (flag, option::of(prop_oneof![value(), odd_text()]))
        .prop_map(|(flag, value)| value.map_or(flag.to_owned(), |value| format!("{flag}={}", value.trim_matches('"'))));
    campaign("configuration: flags", &vec(prop_oneof![3 => assignment, 2 => flag], 0..5), |flags| {
        // What clap refuses has no configuration.
        let Ok(Flags { sources }) = Flags::try_parse_from([vec!["ltxd".to_owned()], flags].concat()) else {
            return Verdict::Refused;
        };
        looked(sources.layers().and_then(|layers| checked(layers, folder.path())))
    });

    let hash = tokens::hash_token("secret");
    let text = format!("# clients\nweb:{hash}\n\napp:{}\nmail@x:{}\n", "0".repeat(64), "AB".repeat(32));
    let file = folder.path().join("tokens");
    campaign("configuration: damaged tokens files", &edits(3), |edits| {
        fs::write(&file, damaged(text.clone().into(), &edits)).unwrap();
        let read = tokens::read(&file);
        match &read {
            Ok(tokens) => assert!(!tokens.is_empty() && tokens.iter().all(|token| token.sha256.len() == 64)),
            Err(ConfigError::Token { path, line, .. }) => assert!(*path == file && *line >= 1),
            Err(ConfigError::Read { path, .. }) => assert_eq!(*path, file),
            Err(other) => panic!("not an error of a tokens file: {other:?}"),
        }
        Verdict::of(&read)
    });
}

#[test]
fn keys_nested_without_end_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    for text in [
        "a.".repeat(200_000) + "a = 1",
        "a = ".to_owned() + &"[".repeat(200_000),
        "[".to_owned() + &"a.".repeat(200_000) + "a]",
    ] {
        fs::write(&file, text).unwrap();
        assert!(Layers::defaults().unwrap().file(&file).is_err());
    }
}

#[test]
fn a_section_that_nobody_knows_is_refused_even_if_it_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    fs::write(&file, "[limts]").unwrap();
    let error = Layers::defaults().unwrap().file(&file).unwrap_err().to_string();
    assert!(error.contains("limts"), "{error}");
    fs::write(&file, "[limits]\n[tls]").unwrap();
    Layers::defaults().unwrap().file(&file).unwrap();
}

#[test]
fn a_variable_that_is_not_utf8_is_refused_by_name() {
    let variable = (OsString::from("LTXD_LISTEN"), OsString::from_vec(vec![0xff]));
    let error = Layers::defaults().unwrap().environment([variable].into_iter()).unwrap_err().to_string();
    assert!(error.contains("LTXD_LISTEN"), "{error}");
}

#[test]
fn endless_files_are_refused() {
    assert!(matches!(Layers::defaults().unwrap().file(Path::new("/dev/zero")), Err(ConfigError::Read { .. })));
    assert!(matches!(tokens::read(Path::new("/dev/zero")), Err(ConfigError::Read { .. })));
}
