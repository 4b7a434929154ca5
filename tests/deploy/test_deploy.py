"""What deploy/ has for containers, as strict readers of its formats see it: a typo in a key or a value is found; what it starts is a
command that ltxd has, on a configuration that ltxd takes."""

import os, re, subprocess

import compose_spec, kubernetes_validate, pytest, yaml
from harness.paths import ENVIRONMENT, GUARD, LTXD, MODELS, ROOT, TLS

COMPOSE = (ROOT / "deploy/compose.yaml").read_text()
KUBERNETES = (ROOT / "deploy/kubernetes.yaml").read_text()
VERSION = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.M)[1]


def compose(text=COMPOSE):
    """As the Compose specification has it; named volumes are those that it declares."""
    read = compose_spec.PyCompose.from_yaml(text)
    read.validate()
    told = read.to_dict()
    for name, service in told["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if not source.startswith((".", "/")) and source not in told["volumes"]:
                raise ValueError(f"services.{name}: there is no volume {source}")
    return told


def kubernetes(text=KUBERNETES, version=None):
    """As the API of that version, else of the newest that is known here, has it; no key that it does not."""
    objects = list(yaml.safe_load_all(text))
    for one in objects:
        kubernetes_validate.validate(one, version or kubernetes_validate.latest_version(), strict=True)
    return objects


def named(kind, objects):
    [found] = [one for one in objects if one["kind"] == kind]
    return found


def pod():
    return named("StatefulSet", kubernetes())["spec"]["template"]["spec"]


def test_both_are_read():
    assert list(compose()["services"]) == ["ltxd"]
    assert "StatefulSet" in [one["kind"] for one in kubernetes()]


def test_the_oldest_kubernetes_that_is_stated_takes_it():
    oldest = re.search(r"Kubernetes (\d+\.\d+) or newer", KUBERNETES)[1]
    kubernetes(version=oldest)


@pytest.mark.parametrize(
    "read, text, before, after, said",
    [
        (compose, COMPOSE, "read_only:", "readonly:", "readonly"),
        (compose, COMPOSE, "start_period: 60s", "start_period: 60x", "start_period"),
        (compose, COMPOSE, '"7750:7750"', '"7750:77500"', "77500"),
        (compose, COMPOSE, "unless-stopped", "unless-stoped", "unless-stoped"),
        (compose, COMPOSE, "- data:/data", "- date:/data", "date"),
        (kubernetes, KUBERNETES, "readinessProbe:", "readynessProbe:", "readynessProbe"),
        (kubernetes, KUBERNETES, "replicas: 1", "replicas: one", "replicas"),
        (kubernetes, KUBERNETES, "drop: [ALL]", "drop: ALL", "'ALL' is not"),
        (kubernetes, KUBERNETES, "kind: NetworkPolicy", "kind: NetworkPolicies", ""),
    ],
    ids=["key", "duration", "port", "word", "volume", "probe", "number", "list", "kind"],
)
def test_a_typo_is_found(read, text, before, after, said):
    assert text.count(before) == 1
    with pytest.raises((ValueError, kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError)) as refused:
        read(text.replace(before, after))
    assert said in str(refused.value)


def test_the_image_is_that_of_this_version():
    assert compose()["services"]["ltxd"]["image"] == f"ltxd:{VERSION}"
    assert [container["image"] for container in pod()["containers"]] == [f"ltxd:{VERSION}"]
    assert f"ltxd-{VERSION}-image.tar" in COMPOSE


def test_names_lead_somewhere():
    """What refers to another object of the manifest finds it."""
    objects, labels = kubernetes(), {"app": "ltxd"}
    stateful = named("StatefulSet", objects)["spec"]
    assert stateful["serviceName"] == named("Service", objects)["metadata"]["name"]
    assert stateful["template"]["metadata"]["labels"].items() >= labels.items()
    assert stateful["selector"]["matchLabels"] == labels == named("Service", objects)["spec"]["selector"]
    assert named("NetworkPolicy", objects)["spec"]["podSelector"]["matchLabels"] == labels
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    assert volumes["configuration"]["configMap"]["name"] == named("ConfigMap", objects)["metadata"]["name"]
    assert volumes["tokens"]["secret"]["secretName"] == named("Secret", objects)["metadata"]["name"]
    claims = {claim["metadata"]["name"] for claim in stateful["volumeClaimTemplates"]}
    [container] = pod()["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {*volumes, *claims}
    ports = {port["containerPort"] for port in container["ports"]}
    allowed = {port["port"] for rule in named("NetworkPolicy", objects)["spec"]["ingress"] for port in rule["ports"]}
    assert {port["port"] for port in named("Service", objects)["spec"]["ports"]} <= ports == allowed


def commands():
    """Every command that a container runs."""
    [container] = pod()["containers"]
    yield ["ltxd", *container["args"]]
    for probe in ("startupProbe", "livenessProbe"):
        yield container[probe]["exec"]["command"]
    kind, *words = compose()["services"]["ltxd"]["healthcheck"]["test"]
    assert kind == "CMD"
    yield words


def test_containers_run_commands_that_ltxd_has():
    for program, command, *words in commands():
        assert program in ("ltxd", "/usr/bin/ltxd")
        done = subprocess.run([LTXD, command, "--help"], capture_output=True, text=True, env=ENVIRONMENT, timeout=GUARD, check=True)
        for flag in [word for word in words if word.startswith("--")]:
            assert re.search(rf"{flag}\b", done.stdout), f"ltxd {command} has no {flag}"


def configurations():
    """Each node.toml with the folder in which its other files lie, or None where they are named by whole paths."""
    yield "kubernetes", named("ConfigMap", kubernetes())["data"]["node.toml"]
    lines = re.findall(r"^#   (\S+ = .*)$", COMPOSE, re.M)
    yield "compose", "\n".join(lines)
    yield "package", (ROOT / "deploy/node.toml").read_text()


@pytest.mark.parametrize("text", [text for _, text in configurations()], ids=[name for name, _ in configurations()])
def test_ltxd_takes_the_configuration(text, tmp_path):
    tokens = named("Secret", kubernetes())["stringData"]["tokens"]
    (tmp_path / "tokens").write_text(tokens)
    for name, file in (("cert.pem", "localhost.pem"), ("key.pem", "localhost.key")):
        (tmp_path / name).write_bytes((TLS / file).read_bytes())
    assert 'data_dir = "' in text
    text = re.sub(r'data_dir = ".*"', f'data_dir = "{tmp_path}/data"', text.replace("/etc/ltxd-tokens/", ""))
    (tmp_path / "node.toml").write_text(text)
    command = [os.path.abspath(LTXD), "config", "check", "--config", "node.toml", f"--models-dir={MODELS}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=ENVIRONMENT, timeout=GUARD)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the configuration is good" in done.stdout
