"""Flask's path to tagged JSON; it lives in `demijohn.http.json_tag`."""

from ..framework.json import dumps as dumps
from ..framework.json import loads as loads
from ..http.json_tag import JSONTag as JSONTag
from ..http.json_tag import PassDict as PassDict
from ..http.json_tag import PassList as PassList
from ..http.json_tag import TagBytes as TagBytes
from ..http.json_tag import TagDateTime as TagDateTime
from ..http.json_tag import TagDict as TagDict
from ..http.json_tag import TaggedJSONSerializer as TaggedJSONSerializer
from ..http.json_tag import TagMarkup as TagMarkup
from ..http.json_tag import TagTuple as TagTuple
from ..http.json_tag import TagUUID as TagUUID

__all__ = (
    "JSONTag",
    "PassDict",
    "PassList",
    "TagBytes",
    "TagDateTime",
    "TagDict",
    "TagMarkup",
    "TagTuple",
    "TagUUID",
    "TaggedJSONSerializer",
)
