"""Where one installation keeps its files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from costlib.errors import ConfigError


@dataclass(frozen=True)
class Home:
    """The folder named by PERMILLION_HOME. Only the writer opens `live`; everyone else reads what `pointer`
    names, and of the last minutes what `tail_pointer` names."""

    path: Path

    @classmethod
    def default(cls, env: Mapping[str, str]) -> "Home":
        """PERMILLION_HOME when it is set, else the platform's user data folder."""
        named = env.get("PERMILLION_HOME", "").strip()
        return cls(Path(named).expanduser() if named else user_data_path("permillion"))

    def make(self) -> None:
        """Create the folders that are missing."""
        try:
            for folder in (self.path, self.inbox, self.charges, self.serving, self.calibrations, self.scenarios):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"{self.path} cannot be used: {error.strerror}. Name a folder that can be written in PERMILLION_HOME."
            ) from error

    @property
    def live(self) -> Path:
        return self.path / "live.duckdb"

    @property
    def inbox(self) -> Path:
        return self.path / "inbox"

    @property
    def charges(self) -> Path:
        return self.path / "charges"

    @property
    def serving(self) -> Path:
        return self.path / "serving"

    @property
    def calibrations(self) -> Path:
        return self.path / "calibrations"

    @property
    def scenarios(self) -> Path:
        return self.path / "scenarios"

    @property
    def actions(self) -> Path:
        return self.path / "actions.jsonl"

    @property
    def savings(self) -> Path:
        return self.path / "savings.jsonl"

    @property
    def pointer(self) -> Path:
        return self.serving / "current"

    @property
    def tail_pointer(self) -> Path:
        return self.serving / "tail"

    @property
    def scenario(self) -> Path:
        return self.path / "scenario.toml"

    @property
    def owners(self) -> Path:
        return self.path / "owners.toml"

    @property
    def rates(self) -> Path:
        return self.path / "rates.toml"
