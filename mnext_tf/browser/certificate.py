"""A certificate for serving over HTTPS, made on the spot by the command openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mnext_tf.browser.address import EVERYWHERE, addresses_of_this_computer, is_address
from mnext_tf.errors import ConfigError

_DAYS = 30


def make_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """(certificate, key), PEM files in `folder`, for this computer's names and addresses; nobody but it vouches for it.

    Raises ConfigError where openssl is not installed.
    """
    folder = Path(folder)
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = ["localhost", "127.0.0.1", *([host] if host not in EVERYWHERE else addresses_of_this_computer())]
    entries = ",".join(dict.fromkeys(f"{'IP' if is_address(name) else 'DNS'}:{name}" for name in names))
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", str(_DAYS), "-subj", "/CN=mnext_tf", "-addext", f"subjectAltName={entries}"),
        *("-addext", "extendedKeyUsage=serverAuth", "-keyout", str(key), "-out", str(certificate)),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except FileNotFoundError:
        raise ConfigError("--https needs the command openssl, which makes the certificate; install openssl.") from None
    except subprocess.SubprocessError as e:
        said = (getattr(e, "stderr", None) or b"").decode("utf-8", "replace").strip()[-300:]
        raise ConfigError(f"openssl made no certificate for {entries}: {said or e}") from e
    return certificate, key
