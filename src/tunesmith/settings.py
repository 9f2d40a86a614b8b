"""The operator's settings: TUNESMITH_* variables, then tunesmith.toml, then defaults; read once.

They never mix with what a user asks for (`spec`). An unknown key is an error. Plain pydantic
rather than pydantic-settings, whose import takes 0.2 s of each start of server and client.
"""

import contextlib
import difflib
import os
import secrets
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tunesmith.errors import Misconfigured

PREFIX = "TUNESMITH_"
SHORTEST_TOKEN = 8
# Read by the command line client, not by a server.
CLIENT_VARIABLES = frozenset({"TUNESMITH_URL"})


class Settings(BaseModel):
    """What an operator decides. Each field is also `TUNESMITH_<NAME>`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True
    )

    data_dir: Path = Path("~/.tunesmith")
    """Where tasks, outputs, the store and the token live."""
    allowed_roots: tuple[Path, ...] = (Path("~"),)
    """Directories that base models, data sets and outputs may be in; the data directory always is
    one. Colon-separated in the environment."""
    token: str | None = Field(None, min_length=SHORTEST_TOKEN)
    """Login token; not given: made at the first start and kept in the data directory."""
    host: str = "127.0.0.1"
    """Address the server listens on."""
    allowed_hosts: tuple[str, ...] = ()
    """Names under which browsers may call this server, beside its addresses, localhost and the
    machine's own name. Comma-separated in the environment."""
    port: int = Field(8000, ge=0, le=65535)
    """Port the server listens on; 0 takes a free one."""
    devices: str = "auto"
    """auto (NVIDIA's driver is asked), none, or simulated:4x24GiB."""
    cpu_tasks: int = Field(1, ge=1, le=64)
    """Trainings at the same time on a machine without a GPU."""
    queue_limit: int = Field(1000, ge=1)
    """Tasks that may wait; creation beyond that is refused."""
    hub: Literal["huggingface", "modelscope"] = "huggingface"
    """Where base models that are not on the disk are downloaded from."""
    hub_endpoint: str | None = None
    """URL of the hub or of a mirror of it; not given: HF_ENDPOINT, else the hub's own."""
    hub_token: str | None = Field(None, repr=False)
    """Token for gated and private models; not given: HF_TOKEN."""
    offline: bool | None = None
    """Download nothing; not given: HF_HUB_OFFLINE."""
    stop_grace_seconds: float = Field(30.0, ge=0, le=3600)
    """Time a trainer has to save after a stop, before it is killed."""
    language: Literal["zh", "en"] = "zh"
    """Language of answers where a client states none."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """How much the server says on standard error."""

    @field_validator("allowed_roots", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(Path(part) for part in value.split(":") if part)
        return value

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _host_names(cls, value: Any) -> Any:
        names = value.split(",") if isinstance(value, str) else value
        if not isinstance(names, list | tuple):
            return value
        if not all(isinstance(name, str) and not set(name) & set("/:*@") for name in names):
            raise ValueError("expected names such as tunesmith.example.com, without a port")
        hosts = (name.strip().lower().rstrip(".") for name in names)
        return tuple(filter(None, hosts))

    @field_validator("devices")
    @classmethod
    def _device_source(cls, value: str) -> str:
        if value not in ("auto", "none"):
            simulated_devices(value)
        return value

    @field_validator("hub_endpoint")
    @classmethod
    def _plain_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        scheme, _, rest = value.partition("://")
        if scheme not in ("http", "https") or not rest:
            raise ValueError("expected a URL such as https://huggingface.co")
        if "@" in rest.split("/", 1)[0]:  # it would be in specs and logs
            raise ValueError("a password does not belong into the URL; set TUNESMITH_HUB_TOKEN")
        return value.rstrip("/")

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @property
    def roots(self) -> tuple[Path, ...]:
        """The allowed roots, absolute, symlinks followed, the data directory among them."""
        roots = [root.expanduser().resolve() for root in self.allowed_roots]
        return tuple(dict.fromkeys([*roots, self.data_dir]))

    @property
    def tasks_dir(self) -> Path:
        return self.data_dir / "tasks"

    @property
    def outputs_dir(self) -> Path:
        # Often a symlink to a larger disk.
        return (self.data_dir / "outputs").resolve()

    @property
    def models_dir(self) -> Path:
        """A base model given by name is looked for here, and downloaded to here."""
        return (self.data_dir / "models").resolve()  # as the outputs

    @property
    def cache_dir(self) -> Path:
        """Converted base models and tokenised data; may be removed while nothing runs."""
        return (self.data_dir / "cache").resolve()

    @property
    def store_url(self) -> str:
        return f"sqlite:///{self.data_dir / 'tunesmith.db'}"

    @property
    def server_file(self) -> Path:
        """URL and pid of the running server, for clients on this machine."""
        return self.data_dir / "server.json"

    @property
    def token_file(self) -> Path:
        return self.data_dir / "token"


def load_settings(config: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings: `flags` win over the environment, that over the file `config`.

    `config` not given means `tunesmith.toml` in the data directory, if there is one. Raises
    Misconfigured naming the setting.
    """
    variables = _variables()
    flags = {name: value for name, value in (flags or {}).items() if value is not None}
    config = config or _default_config(variables | flags)
    values = _read_file(config) if config else {}
    for name in values:
        if name not in Settings.model_fields:
            _refuse_unknown(f"{config}: {name}", name, Settings.model_fields)
    try:
        return Settings.model_validate(values | variables | flags)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise Misconfigured("setting_invalid", name=name, reason=first["msg"]) from None


def login_token(settings: Settings) -> str:
    """Return the token of the settings, else the one kept in the data directory, made if new.

    Raises Misconfigured for a kept one that is too short: an empty one would let everybody in.
    """
    if settings.token:
        return settings.token
    if not settings.token_file.exists():
        _make_token(settings.token_file)
    token = settings.token_file.read_text().strip()
    if len(token) < SHORTEST_TOKEN:
        reason = f"{settings.token_file} holds no token; remove it, and a new one is made"
        raise Misconfigured("setting_invalid", name="token", reason=reason)
    return token


def _make_token(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(secrets.token_urlsafe(32) + "\n")
    # A link appears whole, or not at all; of two first starts one makes it, the other reads it.
    with contextlib.suppress(FileExistsError):
        file.hardlink_to(draft)
    draft.unlink()


def simulated_devices(text: str) -> tuple[int, int]:
    """Parse `simulated:4x24GiB` into (count, bytes each); raise ValueError for anything else."""
    kind, _, shape = text.partition(":")
    count, _, size = shape.partition("x")
    if kind != "simulated" or not count.isdigit() or not size.endswith("GiB"):
        raise ValueError("expected auto, none or simulated:<count>x<size>GiB")
    gib = float(size.removesuffix("GiB"))
    if not 1 <= int(count) <= 1024 or not 0 < gib <= 100_000:
        raise ValueError("expected 1 to 1024 devices of a positive size")
    return int(count), int(gib * 2**30)


def _default_config(values: Mapping[str, Any]) -> Path | None:
    data_dir = values.get("data_dir", Settings.model_fields["data_dir"].default)
    path = Path(data_dir).expanduser() / "tunesmith.toml"
    return path if path.is_file() else None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Misconfigured("config_unreadable", path=str(path), reason=str(error)) from None


def _variables() -> dict[str, str]:
    """Return the settings in the environment; an empty variable is not set."""
    known = {PREFIX + name.upper(): name for name in Settings.model_fields}
    values: dict[str, str] = {}
    for variable, value in os.environ.items():
        if not variable.startswith(PREFIX) or variable in CLIENT_VARIABLES:
            continue
        if variable not in known:
            _refuse_unknown(variable, variable, known)
        if value:
            values[known[variable]] = value
    return values


def _refuse_unknown(shown: str, name: str, known: Collection[str]) -> None:
    nearest = difflib.get_close_matches(name, known, n=1)
    raise Misconfigured(
        "setting_unknown", name=shown, nearest=nearest[0] if nearest else "docs/settings.md"
    )
