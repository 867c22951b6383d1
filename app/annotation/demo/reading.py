"""What a text says by simple rules of words: the reading that simulated people agree or disagree with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

Span = tuple[int, int, str]
"""Start, end, label; offsets in code points."""

# The words that speak for an option, in English and in the Chinese of the passages. The order is that of the options.
TOPICS = {
    "economy": r"trade|commerc|tariff|tax|revenue|corporat|business|money|currenc|labor|wage|farm|industr|"
    r"財|富|足食|貨|稅",
    "foreign": r"foreign|treat(?:y|ies)|nations?\b|Powers|Cuba|China|Philippin|Panama|Colombia|Isthmus|Russia|"
    r"鄰國|天下|侯",
    "defence": r"\barmy|navy|naval|\bwar\b|ships?\b|soldier|officer|troops|militia|兵|勝|敵",
    "law": r"\blaws?\b|court|justice|Congress|legislat|constitution|Government|政|刑|法令|治",
    "land": r"forest|irrigat|land|water|river|canal|park|Alaska|Indian|game\b|水|地|居",
    "conduct": r"character|honest|duty|virtue|citizen|courage|moral|education|school|德|善|君子|道|學|信|知足|禮",
}
THEMES = {
    "duty": r"duty|duties|must|ought|responsib|obligation|德|禮|信|忠",
    "fairness": r"just|fair|equal|right|wrong|honest|直|平|善",
    "prosperity": r"prosper|growth|wealth|progress|success|increase|富|足|利|樂",
    "peace": r"peace|friend|arbitrat|good will|treat(?:y|ies)|不爭|靜|友|安",
    "restraint": r"limit|restrain|regulat|careful|prevent|evil|abuse|不|無",
}
APPEALS = {
    "reason": r"because|therefore|reason|experience|fact|result|per cent|\d|故|是以|何",
    "duty": r"duty|must|should|ought|law|right|必|敬|忠|信",
    "interest": r"interest|benefit|profit|cost|money|trade|advantage|利|富|足",
    "feeling": r"glor|honor|noble|suffer|gratitude|happ|fear|love|heart|樂|憂|畏|賢哉",
}
_URGENT = r"must|urgent|imperative|at once|immediate|danger|grave|earnest|evil|need|必|死|亡|難"

_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_PLACES = (
    "United States|New York|Great Britain|Central America|Western Hemisphere|Philippine Islands|Philippines|Porto Rico|"
    "District of Columbia|Niagara Falls|Bering Sea|Hawaii|Alaska|Cuba|Panama|Colombia|Isthmus|China|Japan|Russia|"
    "Germany|France|Spain|Mexico|Brazil|Venezuela|Europe|Paris|Washington|Manila|Peking|Mississippi|Pacific|Atlantic|Yosemite|"
    "衛|齊"
)
_PEOPLE = (
    r"(?:President|Secretary|General|Admiral|Senator|Minister|Judge|Governor|Mr\.|Dr\.) (?:[A-Z]\. )?(?:Mc)?[A-Z][a-z]+"
    r"|William Woodville Rockhill|Abraham Lincoln|Monroe"
    r"|孔子|曾子|子貢|冉有|哀公|景公|回(?=也)|(?<!孔)(?<!曾)子(?=曰|在川|適)"
)
_NAMES = {
    "PERSON": re.compile(_PEOPLE),
    "PLACE": re.compile(rf"(?<![A-Za-z])(?:{_PLACES})(?![a-z])"),
    "DATE": re.compile(rf"(?:{_MONTHS})(?: \d{{1,2}})?(?:, 1[6-9]\d\d)?\b|(?<![\d,.])1[6-9]\d\d(?![\d,.]?\d)"),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How strongly a text speaks for each option, how urgently it sounds from 1 to 5, and the names in it."""

    tone: int
    topics: Mapping[str, int]
    themes: Mapping[str, int]
    appeals: Mapping[str, int]
    names: tuple[Span, ...]


@lru_cache(maxsize=1024)
def read(text: str) -> Reading:
    """What the rules find in a text."""
    urgent = len(re.findall(_URGENT, text))
    return Reading(
        tone=min(5, 1 + urgent + ("!" in text or "！" in text)),
        topics=_counts(TOPICS, text),
        themes=_counts(THEMES, text),
        appeals=_counts(APPEALS, text),
        names=_names(text),
    )


def _counts(words: Mapping[str, str], text: str) -> dict[str, int]:
    return {option: len(re.findall(pattern, text)) for option, pattern in words.items()}


def _names(text: str) -> tuple[Span, ...]:
    """The names, none within or across another: of two that meet the earlier and longer one."""
    found = [(one.start(), one.end(), label) for label, pattern in _NAMES.items() for one in pattern.finditer(text)]
    kept: list[Span] = []
    for span in sorted(found, key=lambda span: (span[0], -span[1])):
        if not kept or span[0] >= kept[-1][1]:
            kept.append(span)
    return tuple(kept)
