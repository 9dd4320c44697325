"""Answers no judge needs to read: empty ones, and openers that say nothing but are known to pass.

Judges give high marks to a lone `:` and to phrases such as "Thought process:" or "Let's solve this
problem step by step." (Zhao et al., "One Token to Fool LLM-as-a-Judge", arXiv:2507.08794).
"""

from __future__ import annotations

import re
import unicodedata

# Each is matched on its own, at the start of a phrase: alternatives that overlap inside one repetition
# would let an answer make the search take for ever.
_FILLER = r"(?:(?:ok|okay|sure|certainly|of course|alright|well|so|now|first|great) )*"
_OPENERS = tuple(
    re.compile(rf"(?:{phrase})(?: |$)")
    for phrase in (
        _FILLER
        + r"let(?: s| us| me)(?: \w+){0,3}? (?:solve|think|work|go|break|approach|start|begin"
        r"|analy[sz]e|reason|tackle|find|see|look|figure|consider)(?: (?:about|through|by|at|down|out"
        r"|into|on|over|this|that|the|it|problem|question|task|thinking|solving|and|carefully|together"
        r"|logically|systematically))*",
        _FILLER + r"(?:(?:the|my|your|here is|here s|heres|this is) )*(?:thought|thinking|reasoning"
        r"|solution|chain of thought)(?: (?:process|steps?|trace))?",
        _FILLER + r"(?:here is|here s|heres) (?:the|my)(?: (?:final|correct|full|detailed))?"
        r" (?:answer|explanation)",
        r"(?:the )?(?:final )?answer(?: is)?",
        r"(?:detailed )?explanation",
        r"(?:thinking |solving |working )?step by step(?: (?:solution|reasoning|explanation))?",
        _FILLER + r"to (?:solve|answer|find|approach)(?: (?:this|the|problem|question|task|answer"
        r"|solution))+(?: (?:we|i|you)(?: (?:need|have|will|can|must|should))?(?: to)?)?",
        r"解|解答|答案|思考过程|思考過程|解题过程|かいせつ|解説|思考プロセス",
        r"让我们一步一步地?(?:解决|思考)(?:这个|這個)?(?:问题|問題)?",
        r"respuesta|solución|proceso de pensamiento|(?:vamos a )?resolver este problema|paso a paso",
        r"lösung|gedankengang|antwort|réponse|raisonnement|soluzione|risposta|solução|resposta",
        r"решение|ответ|ход мыслей|풀이|해설|정답|답",
    )
)
_LONGEST_OPENER = 300
_CONTENT = frozenset("LNS")  # letters, digits, and symbols such as an infinity sign
_INVISIBLE = frozenset("\u115f\u1160\u2800")  # fillers that count as letters or symbols

EMPTY = "The answer was empty."
NO_CONTENT = "The answer announces an answer but does not give one."


def objection(text: str, *, max_chars: int) -> str | None:
    """What is wrong with an answer that needs no judge to be rejected; None: ask the judge."""
    if len(text) > max_chars:
        return f"The answer is too long: it may have {max_chars} characters at most."
    # Letter by letter: a text of ligatures would grow eighteenfold, and take as long.
    letters = unicodedata.normalize("NFKC", "".join(set(text)))
    if not any(map(_says_something, letters)):
        return EMPTY
    return NO_CONTENT if _is_opener(text) else None


def _says_something(letter: str) -> bool:
    kind = unicodedata.category(letter)[0]
    return kind in _CONTENT and letter not in _INVISIBLE and not (kind == "S" and letter.isascii())


def _is_opener(text: str) -> bool:
    """True when the text is nothing but openers, one after another."""
    if len(text) > _LONGEST_OPENER:
        return False
    plain = unicodedata.normalize("NFKC", text).casefold()
    visible = "".join(c for c in plain if unicodedata.category(c) != "Cf")
    words = " ".join(re.findall(r"[^\W_]+", visible))
    reached = {0}
    for start in range(len(words)):
        if start in reached:
            ends = (opener.match(words, start) for opener in _OPENERS)
            reached.update(end.end() for end in ends if end)
    return bool(words) and len(words) in reached
