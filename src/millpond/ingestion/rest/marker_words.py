"""The names that sources give to what they say of rows that an answer does not hold."""

from __future__ import annotations

import re
from typing import Final

NEXT: Final = re.compile(
    r"(odata)?next(page|result|record|item|batch|set|row|request|starting)?s?"
    r"(url|uri|link|href|cursor|token|offset|marker|key|start|skip|id|number|params|query|path|index)?"
    r"|cursor|continu(e|ation)(token|key)?|(page|resumption)token|lastevaluatedkey|exclusivestartkey"
    r"|(load)?more(url|uri|link|href)"
)
EVERY_PAGES: Final = re.compile(r"scrollid|bookmark|after|(end|after|next)?cursor(after|next)?")
"""Cursors that many sources give on every page, also the last: a sign only where nothing follows them."""
MORE: Final = re.compile(
    r"(is|has|are|there(is|are))?(more|next|truncated|incomplete)"
    r"(pages?|results?|items?|records?|rows?|data|entries|documents|(items|results)incollection)?(available)?"
    r"|(results?|data|response|list|output)(is|was)?(truncated|incomplete)"
)
CUT: Final = re.compile(
    r"(has|is)?(exceeded\w*limit|\w*limit(is|was)?(exceeded|reached)|max\w*reached|overflow(ed)?|capped)"
)
"""By yes: rows were cut off. By no it says nothing of the end."""
LAST: Final = re.compile(
    r"(is)?(last|lastpage|final|finalpage|done|complete|completed|finished|exhausted)"
    r"|eof|end|(is)?endof(records|results|list|data|pages|collection)"
)
LAST_NUMBER: Final = frozenset(["last", "lastpage", "final", "finalpage", "end"])
"""Which may be the number of a page or a link as well."""
THINGS: Final = r"(results?|items?|rows?|entries|records?|hits|elements|docs|documents|objects|matches)"
TOTAL: Final = re.compile(
    rf"(odata|grand|overall|full|{THINGS})?total(number)?(of)?(size|count|found|available|{THINGS}(count)?)?"
    rf"|(itotal(display)?records|odatacount|numfound|{THINGS}filtered|num(ber)?of{THINGS})"
)
COUNTED: Final = re.compile(
    rf"count|{THINGS}count|nu?m?b?{THINGS}|hitcount|(number)?matched|(number)?found|available(count)?"
    r"|(full|actual|estimated|approximate)(count|total)|totalnum"
)
"""Which may count a page, or all rows: only more than there are say something."""
LEFT: Final = re.compile(
    rf"(has|is)?(num(ber)?(of)?)?(pages?|{THINGS})?"
    r"(are|still)*(remaining|left(over)?|more|omitted|outstanding|pending|missing|dropped|tofollow|tocome"
    r"|not(shown|listed|included|returned))"
    rf"(num(ber)?)?(of)?(pages?|{THINGS})?(count|number|total)?"
)
"""How many are still to come."""
LEFT_ALONE: Final = re.compile(r"(outstanding|pending|missing|dropped)(count|number|total)?")
"""Which speak of rows only if they name them."""
OF_ROWS: Final = re.compile(rf"pages?|{THINGS}")
QUOTA: Final = re.compile(
    r"\w*quota\w*|\w*ratelimit\w*|reset(s|at|in|time|after)?|used|(api)?(credits|calls)\w*|retryafter"
)
"""Fields next to which what remains are requests."""
PAGES: Final = re.compile(
    r"(total|num|numberof|totalnumberof|max)?pages(total|count)?|(total)?pagecount|lastpage"
)
INSIDE: Final = re.compile(
    r"(response)?meta(data|info)?|(page|paging|pagination|paginator|pager|pageable)(info|data|details|meta|metadata)?"
    r"|links|cursors?|results?|resultset|resultinfo|data|response|info|hits|additional(data)?|navigation"
    r"|batch|collection|queries|(list|search|query|record)(info|meta|metadata)"
)
"""Objects in which answers say how they came about."""
LINKS: Final = re.compile(r"links?")
HEADER: Final = re.compile(
    r"(x)?(xms|ms)?((pagination|paging|page)?next(page|cursor|token|link|url|offset|key|id)?"
    r"|continuation(token)?|cursor|hasmore)"
)
SIZE: Final = frozenset(
    ["limit", "perpage", "pagesize", "pagelimit", "itemsperpage", "maxresults", "xperpage"]
)
COUNT_HEADERS: Final = {
    "total": re.compile(rf"(x)?(wp|pagination|paging)?total(count|{THINGS})?"),
    "pages": re.compile(r"(x)?(wp|pagination|paging)?((total|num)?pages|(total)?pagecount|lastpage)"),
    "counted": re.compile(rf"xcount|(x)?(pagination|paging|record|result|item|{THINGS})count"),
    "size": re.compile("|".join(SIZE)),
}
CUT_HEADER: Final = re.compile(rf"(x)?({MORE.pattern}|partial(results?|content|data)?|(results?)?truncated)")
JSON_HEADER: Final = re.compile(r"(x)?(pagination|paging)")
RANGE: Final = re.compile(r"[\w-]*\s*\d+-\d+/(\d+)")
COUNT: Final = re.compile(r"([0-9]{1,3}(?:[,.'_ \u00a0\u202f][0-9]{3})+|[0-9]+)(?:\.0*)?(\+)?")
