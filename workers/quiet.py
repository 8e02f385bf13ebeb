"""Quiet hours: `22:00-07:00 Europe/Berlin`, every night, by that place's clock."""

import re
from dataclasses import dataclass
from datetime import datetime, time
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_FORM = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d) (\S+)")


@dataclass(frozen=True)
class QuietHours:
    """From `begin` to `end`, over midnight if `end` comes first."""

    begin: time
    end: time
    zone: ZoneInfo

    @classmethod
    def parse(cls, words: str) -> Self:
        """Raises ValueError, which tells the form."""
        found = _FORM.fullmatch(words.strip())
        if found is None:
            raise ValueError("want HH:MM-HH:MM and a time zone, as Europe/Berlin")
        try:
            zone = ZoneInfo(found[5])
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"there is no time zone {found[5]}") from None
        begin = time(int(found[1]), int(found[2]))
        return cls(begin, time(int(found[3]), int(found[4])), zone)

    def cover(self, moment: datetime) -> bool:
        """Whether it is quiet then."""
        local = moment.astimezone(self.zone).time()
        if self.begin <= self.end:
            return self.begin <= local < self.end
        return local >= self.begin or local < self.end
