"""What a secured broker needs beside a plain one: certificates, made anew each time, and listeners of every kind.

One node listens in each way that clients use, so that one broker serves every test of access. The plain listener is for the
tests' own clients: who comes there without a name may do everything, and so may the user lockstep and the owner of the client
certificate. The user limited may do what ACLs say.
"""

import json
import subprocess
from pathlib import Path

# Listener: (protocol, which certificate it shows, what is required of clients).
LISTENERS = {
    "ssl": ("SSL", "server", {}),
    "mtls": ("SSL", "server", {"ssl.client.auth": "required"}),
    "expired": ("SSL", "expired", {}),
    "elsewhere": ("SSL", "elsewhere", {}),
    "sasl_ssl": ("SASL_SSL", "server", {}),
    "sasl_plaintext": ("SASL_PLAINTEXT", None, {}),
}
MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
USERS = {"lockstep": "right-password", "limited": "right-password"}
PLAIN_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"


def openssl(directory, *arguments):
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


def certificates(directory):
    """An authority with the certificates that it signed, and another one, as PEM files."""
    (directory / "index").touch()
    (directory / "serial").write_text("01\n")
    (directory / "ca.cnf").write_text(
        """
[ca]
default_ca = authority
[authority]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""
    )
    for name in ["ca", "other-ca"]:
        new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name}"]
        openssl(directory, *new, "-keyout", f"{name}.key", "-out", f"{name}.pem")
    here, away = "subjectAltName=IP:127.0.0.1,DNS:localhost", "subjectAltName=DNS:elsewhere.invalid"
    sign(directory, "server", here, "ca")
    sign(directory, "elsewhere", away, "ca")
    sign(directory, "expired", here, "ca", ["-startdate", "200101000000Z", "-enddate", "200201000000Z"])
    sign(directory, "client", here, "ca")
    sign(directory, "stranger", here, "other-ca")


def sign(directory, name, names, authority, dates=("-days", "30")):
    request = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-addext", names]
    openssl(directory, *request, "-keyout", f"{name}.key", "-out", f"{name}.csr")
    issue = ["ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", f"{authority}.pem"]
    issue += ["-keyfile", f"{authority}.key", "-in", f"{name}.csr", "-out", f"{name}.pem"]
    openssl(directory, *issue, *dates)
    # Kafka takes key and certificates from one file.
    parts = [f"{name}.key", f"{name}.pem", f"{authority}.pem"]
    (directory / f"{name}.keystore").write_text("".join((directory / part).read_text() for part in parts))


def properties(directory, ports):
    """What stands in the broker's settings in addition; listeners are named with their ports by the caller."""
    lines = [
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users=User:ANONYMOUS;User:lockstep;User:CN=client",
        f"sasl.enabled.mechanisms={','.join(MECHANISMS)}",
    ]
    for name in ports:
        protocol, certificate, required = LISTENERS[name]
        of = f"listener.name.{name}."
        if certificate:
            lines += [
                f"{of}ssl.keystore.type=PEM",
                f"{of}ssl.keystore.location={directory / (certificate + '.keystore')}",
                f"{of}ssl.truststore.type=PEM",
                f"{of}ssl.truststore.location={directory / 'ca.pem'}",
            ]
        if protocol.startswith("SASL"):
            users = " ".join(f'user_{user}="{password}"' for user, password in USERS.items())
            lines.append(f"{of}sasl.enabled.mechanisms={','.join(MECHANISMS)}")
            lines.append(f"{of}plain.sasl.jaas.config={PLAIN_LOGIN} required {users};")
            lines += [f"{of}scram-sha-{n}.sasl.jaas.config={SCRAM_LOGIN} required;" for n in (256, 512)]
        lines += [f"{of}{key}={value}" for key, value in required.items()]
    return "\n".join(lines) + "\n"


def scram_users():
    """Arguments that make the users when the storage is formatted."""
    arguments = []
    for user, password in USERS.items():
        for mechanism in MECHANISMS[1:]:
            arguments += ["--add-scram", f"{mechanism}=[name={user},password={password}]"]
    return arguments


def description(directory, plain, ports):
    """Writes for the tests where everything is, and says in which file."""
    told = {"plaintext": plain, "directory": str(directory)}
    told |= {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    path = Path(directory) / "secured.json"
    path.write_text(json.dumps(told))
    return path
