//! Which source goes over which, and what is refused with its source's name.
//!
//! Must not know which values can be.

use super::*;

fn layered(file: &str, variables: &[(&str, &str)]) -> Result<Table, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    std::fs::write(&path, file).unwrap();
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    Layers::defaults()?.file(&path)?.environment(variables)?.extract()
}

#[test]
fn the_environment_goes_over_the_file_and_the_file_over_the_defaults() {
    let table = layered("[limits]\nqueued = 7\nrequest_burst = 8", &[("LTXD_LIMITS_QUEUED", "9")]).unwrap();
    assert_eq!(table["limits"]["queued"].as_integer(), Some(9));
    assert_eq!(table["limits"]["request_burst"].as_integer(), Some(8));
    assert_eq!(table["limits"]["queued_per_client"].as_integer(), Some(2048));
}

#[test]
fn what_is_no_key_is_refused_by_name() {
    for (file, variables, named) in [
        ("lisen = \"x\"", &[][..], "node.toml: lisen: there is no such key"),
        ("queued = 3", &[], "node.toml: queued: there is no such key; did you mean limits.queued?"),
        ("[limits]\nqeued = 3", &[], "node.toml: limits.qeued: there is no such key"),
        ("limits = 3", &[], "node.toml: limits: there is no such key"),
        ("[limits.queued]\nx = 1", &[], "node.toml: limits.queued.x: there is no such key"),
        ("", &[("LTXD_LIMITS_QEUED", "3")], "the environment: LTXD_LIMITS_QEUED: there is no such key"),
    ] {
        let error = layered(file, variables).unwrap_err().to_string();
        assert!(error.ends_with(named), "{error}");
    }
}

#[test]
fn variables_of_commands_are_left_alone() {
    for name in OTHER_VARIABLES {
        layered("", &[(name, "off")]).unwrap();
    }
}

#[test]
fn a_value_of_another_kind_is_refused_by_its_key_and_source() {
    for (file, variables, said) in [
        ("[limits]\nqueued = \"many\"", &[][..], "node.toml: limits.queued: is \"many\", not a whole number"),
        ("[limits]\nqueued = 1.5", &[], "node.toml: limits.queued: is 1.5, not a whole number"),
        ("", &[("LTXD_LIMITS_QUEUED", "many")], "LTXD_LIMITS_QUEUED: limits.queued: is “many”, not a whole number"),
        ("[aliases]\nx = 1", &[], "node.toml: aliases.x: is 1, not a string"),
        ("models = [1]", &[], "node.toml: models: is [1], not a list of strings"),
        ("node = 1979-05-27", &[], "node.toml: node: is 1979-05-27, not a string"),
    ] {
        let error = layered(file, variables).unwrap_err().to_string();
        assert!(error.ends_with(said), "{error}");
    }
    let table = layered("[limits]\nrequests_per_second = 5", &[]).unwrap();
    assert_eq!(table["limits"]["requests_per_second"].as_float(), Some(5.0));
}

#[test]
fn a_value_that_cannot_be_is_refused_with_its_source() {
    let variables = [("LTXD_LIMITS_QUEUED".into(), "0".into())];
    let layers = Layers::defaults().unwrap().environment(variables.into_iter()).unwrap();
    let error = layers.extract::<ltx_jobs::Settings>().unwrap_err().to_string();
    assert_eq!(error, "LTXD_LIMITS_QUEUED: limits.queued = 0: is outside 1 to 1073741824");
    let layers = layers.set([("limits.queued", "1"), ("limits.message_bytes", "-1")]).unwrap();
    layers.extract::<ltx_jobs::Settings>().unwrap();
    let error = layers.extract::<ltx_server::Settings>().unwrap_err().to_string();
    assert_eq!(error, "the command line: limits.message_bytes = -1: is outside 2097152 to 268435456");
}

#[test]
fn aliases_have_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    std::fs::write(&path, "[aliases]\n\"Carat Basic Video (LTX 2.3)\" = \"tiny\"").unwrap();
    let layers = Layers::defaults().unwrap().file(&path).unwrap().set([("aliases.LTX 2.3", "other")]).unwrap();
    let table: Table = layers.extract().unwrap();
    assert_eq!(table["aliases"]["Carat Basic Video (LTX 2.3)"].as_str(), Some("tiny"));
    assert_eq!(table["aliases"]["LTX 2.3"].as_str(), Some("other"));
    assert!(layered("aliases = 3", &[]).is_err());
}

#[test]
fn lists_come_with_commas() {
    let table = layered("", &[("LTXD_MODELS_DIR", "m"), ("LTXD_POLICY_PLANS", "Pro, Business")]).unwrap();
    assert_eq!(table["policy"]["plans"].as_array().map(Vec::len), Some(2));
}

#[test]
fn the_older_names_of_a_gpus_switches_are_keys_too() {
    let cuda = |variables: &[(&str, &str)]| {
        let table = layered("", variables).unwrap();
        (table["cuda"]["graphs"].as_bool(), table["cuda"]["kernels"].as_str().map(str::to_owned))
    };
    assert_eq!(cuda(&[]), (Some(true), Some("newest".into())));
    for (graphs, kernels) in [
        (("LTXD_GRAPHS", "off"), ("LTXD_KERNELS", "ampere")),
        (("LTXD_CUDA_GRAPHS", "false"), ("LTXD_CUDA_KERNELS", "ampere")),
    ] {
        assert_eq!(cuda(&[graphs, kernels]), (Some(false), Some("ampere".into())));
        assert!(is_of_cuda(OsStr::new(graphs.0)) && is_of_cuda(OsStr::new(kernels.0)));
    }
    assert_eq!(cuda(&[("LTXD_GRAPHS", "on")]).0, Some(true));
    let error = layered("", &[("LTXD_GRAPHS", "perhaps")]).unwrap_err().to_string();
    assert!(error.contains("LTXD_GRAPHS: cuda.graphs") && error.contains("true or false"), "{error}");
    assert!(!is_of_cuda(OsStr::new("LTXD_MODEL")) && !is_of_cuda(OsStr::new("LTXD_CUDA_PATH")));
}
