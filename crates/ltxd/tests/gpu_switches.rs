//! The two switches that take parts out of a GPU's way of computing are keys of the configuration, and have older names in the
//! environment that every command knows: those that read a configuration, and those that read none.

use ltx_testkit::data;
use std::process::{Command, Output};

const SWITCHES: [(&str, &str); 2] = [("LTXD_GRAPHS", "off"), ("LTXD_KERNELS", "ampere")];

fn ltxd(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ltxd"));
    command.args(arguments).envs(variables.iter().copied()).output().expect("ltxd starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_node_takes_them_by_either_name() {
    for variables in [SWITCHES, [("LTXD_CUDA_GRAPHS", "false"), ("LTXD_CUDA_KERNELS", "ampere")]] {
        let output = ltxd(&["config", "print", "--data-dir", "unused"], &variables);
        let printed = text(&output.stdout);
        assert!(output.status.success(), "{variables:?}: {}", text(&output.stderr));
        assert!(printed.contains("graphs = false") && printed.contains("kernels = \"ampere\""), "{printed}");
    }
}

#[test]
fn a_command_without_a_configuration_takes_them_too() {
    let case = data("i2v_distilled");
    let selftest = ["selftest", case.to_str().expect("a path in UTF-8"), "--device", "cpu"];
    let output = ltxd(&selftest, &SWITCHES);
    assert!(output.status.success(), "{}", text(&output.stderr));

    let output = ltxd(&selftest, &[("LTXD_KERNELS", "hopper")]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cuda.kernels = hopper: is neither newest nor ampere"), "{said}");
}
