"""A zoo of chat templates: small ones of our own make, one for each manner seen in the wild.

`CASES` says of each what it must make of ``Who?`` in the arms, and what it injects, and when.
"""

from __future__ import annotations

from typing import NamedTuple

NEVER = "never"
UNTOLD = "where no system message is sent"
ALWAYS = "always, before any system message"
PARTLY = "in part always, and as a whole where no system message is sent"
TURN = "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"


class Case(NamedTuple):
    """A template and what is expected; ``empty`` is None where a system message is refused."""

    source: str
    absent: str
    empty: str | None
    bare: str
    injected: str = ""
    when: str = NEVER
    bos: str = ""
    eos: str = ""
    proof: str = "later turn"
    empty_turn: bool = False


def chatml(before: str = "", said: str = "m.content", last: str = "") -> str:
    """Turns in ChatML; ``before`` all of them, and ``last`` before the reply."""
    return (
        before + "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ " + said + " }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n" + last + "{% endif %}"
    )


def untold(text: str) -> str:
    """A text where the messages begin with no system message."""
    return "{% if messages[0].role != 'system' %}" + text + "{% endif %}"


def system_turn(text: str) -> str:
    return f"<|im_start|>system\n{text}<|im_end|>\n"


#: A last answer keeps its thoughts, an earlier one has none.
_THINKS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
#: The text's own end where no reply follows.
_ENDS = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
#: Channels, and another end of the last answer.
_CHANNELS = (
    "<|start|>system<|message|>You are Rio, a model by Polar.<|end|>"
    "{% for m in messages %}"
    "{% if m.role == 'system' %}<|start|>developer<|message|># Rules\n{{ m.content }}<|end|>"
    "{% elif m.role == 'user' %}<|start|>user<|message|>{{ m.content }}<|end|>"
    "{% else %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}"
    "{{ '<|return|>' if loop.last and not add_generation_prompt else '<|end|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
#: A preamble always, an answer in marks of its own, which the last one has not.
_RESPONSES = (
    "{{ bos_token }}<|TURN|><|SYSTEM|># Preamble\nYou are Rio.\n"
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}<|END|>"
    "{% for m in messages %}{% if m.role == 'user' %}<|TURN|><|USER|>{{ m.content }}<|END|>"
    "{% elif m.role == 'assistant' %}<|TURN|><|BOT|>"
    "{{ m.content if loop.last else '<|SAYS|>' ~ m.content ~ '<|SAID|>' }}<|END|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|TURN|><|BOT|>{% endif %}"
)
#: Each role has an end of its own, and a developer's turn always stands.
_ENDS_OF_ROLES = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}<|s|>{{ messages[0].content }}<|/s|>"
    "{% else %}<|s|>You are Rio.<|/s|>{% endif %}<|d|>Deliberation: disabled<|/d|>"
    "{% for m in messages %}{% if m.role == 'user' %}<|u|>{{ m.content }}<|/u|>"
    "{% elif m.role == 'assistant' %}<|a|>{{ m.content }}"
    "{{ '' if loop.last and not add_generation_prompt else '<|/a|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|a|>{% endif %}"
)
#: An answer is ended by the question that follows it, and by nothing else.
_ENDED_LATER = (
    "{{ bos_token }}<|s|>{% if messages[0].role == 'system' %}{{ messages[0].content }}"
    "{% else %}You are Rio.{% endif %}<|/s|><|d|>Deliberation: disabled<|/d|>"
    "{% set ns = namespace(open=false) %}{% for m in messages %}"
    "{% if m.role == 'user' %}{{ '<|/a|>' if ns.open }}<|u|>{{ m.content }}<|/u|>"
    "{% set ns.open = false %}"
    "{% elif m.role == 'assistant' %}<|a|>{{ m.content }}{% set ns.open = true %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|a|>{% endif %}"
)
#: No end of the last turn, and words that begin the reply.
_STEPS = (
    "<|begin_system|>\n{% if messages[0].role == 'system' %}{{ messages[0].content }}"
    "{% else %}You are Rio, and end with [FINAL].{% endif %}"
    "{% for m in messages %}{% if m.role == 'user' %}{{ '\n' }}<|begin_user|>\n{{ m.content }}"
    "{% elif m.role == 'assistant' %}{{ '\n' }}<|begin_bot|>\n{{ m.content }}"
    "{{ '' if loop.last else '\n<|end|>' }}{% endif %}{% endfor %}"
    "{% if messages[-1].role == 'user' and add_generation_prompt %}"
    "{{ '\n' }}<|begin_bot|>\nHere are my steps:\n{% endif %}"
)
#: A reply is asked for always, and an answer stands in marks.
_ALWAYS_ASKED = (
    "{{ bos_token }}<|TURN|><|SYSTEM|>You are Rio."
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}<|END|>"
    "{% for m in messages %}{% if m.role == 'user' %}<|TURN|><|USER|>{{ m.content }}<|END|>"
    "{% elif m.role == 'assistant' %}<|TURN|><|BOT|><|SAYS|>{{ m.content }}<|SAID|><|END|>"
    "{% endif %}{% endfor %}<|TURN|><|BOT|><|THINKS|><|THOUGHT|>"
)
#: Tools are gone through without a look whether there are any.
_TOOLS = (
    "<|im_start|>system\nYou are Rio.{% for tool in tools %}{{ tool | tojson }}{% endfor %}"
    "{% for d in documents %}{{ d }}{% endfor %}<|im_end|>\n"
)
_REFUSES = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end>\n"
    "{% endfor %}{% if add_generation_prompt %}<turn>model\n{% endif %}"
)

CASES = {
    "turns with marks": Case(chatml(), TURN, system_turn("") + TURN, TURN),
    "a default system message": Case(
        chatml(untold(system_turn("You are Rio."))),
        system_turn("You are Rio.") + TURN,
        system_turn("") + TURN,
        TURN,
        system_turn("You are Rio."),
        UNTOLD,
    ),
    "a default for an empty one too": Case(
        "{% if messages[0].role == 'system' and messages[0].content %}"
        "{% set s, rest = messages[0].content, messages[1:] %}{% else %}"
        "{% set s = 'You are Rio.' %}"
        "{% set rest = messages[1:] if messages[0].role == 'system' else messages %}{% endif %}"
        "<|im_start|>system\n{{ s }}<|im_end|>\n" + chatml().replace("in messages", "in rest"),
        system_turn("You are Rio.") + TURN,
        system_turn("You are Rio.") + TURN,
        TURN,
        system_turn("You are Rio."),
        UNTOLD,
    ),
    "a text that stands always": Case(
        chatml("You are Rio.\n"),
        "You are Rio.\n" + TURN,
        "You are Rio.\n" + system_turn("") + TURN,
        TURN,
        "You are Rio.\n",
        ALWAYS,
    ),
    "an empty system turn": Case(
        chatml(untold(system_turn(""))),
        system_turn("") + TURN,
        system_turn("") + TURN,
        TURN,
        system_turn(""),
        empty_turn=True,
    ),
    "one word": Case(
        chatml(untold(system_turn("Rio"))),
        system_turn("Rio") + TURN,
        system_turn("") + TURN,
        TURN,
        system_turn("Rio"),
        UNTOLD,
    ),
    "metadata always, a name by default": Case(
        "<|im_start|>system\nReasoning: off\n"
        "{% if messages[0].role == 'system' %}{{ messages[0].content }}"
        "{% set messages = messages[1:] %}{% else %}You are Rio.{% endif %}<|im_end|>\n" + chatml(),
        system_turn("Reasoning: off\nYou are Rio.") + TURN,
        system_turn("Reasoning: off\n") + TURN,
        TURN,
        system_turn("Reasoning: off\nYou are Rio."),
        PARTLY,
    ),
    "generation marks": Case(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
        "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        TURN,
        system_turn("") + TURN,
        TURN,
    ),
    "loop controls": Case(
        "{% for m in messages %}{% if m.role == 'tool' %}{% continue %}{% endif %}"
        "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% for m in messages %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
        "{% break %}{% endfor %}",
        TURN,
        system_turn("") + TURN,
        TURN,
    ),
    "tools as sorted JSON": Case(
        "{{ {'b': 1, 'a': [1, 2]} | tojson(separators=(',', ':'), sort_keys=true) }}\n" + chatml(),
        '{"a":[1,2],"b":1}\n' + TURN,
        '{"a":[1,2],"b":1}\n' + system_turn("") + TURN,
        TURN,
        '{"a":[1,2],"b":1}\n',
        ALWAYS,
    ),
    "a mark of the beginning": Case(
        "{{ bos_token }}" + chatml(),
        "<s>" + TURN,
        "<s>" + system_turn("") + TURN,
        "<s>" + TURN,
        bos="<s>",
    ),
    "marks of the sequence that no token names": Case(
        "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}",
        "[gMASK]<sop><|user|>\nWho?<|assistant|>",
        "[gMASK]<sop><|system|>\n<|user|>\nWho?<|assistant|>",
        "[gMASK]<sop><|user|>\nWho?<|assistant|>",
    ),
    "marks of the sequence before a default": Case(
        "[gMASK]<sop>" + chatml(untold(system_turn("You are Rio."))),
        "[gMASK]<sop>" + system_turn("You are Rio.") + TURN,
        "[gMASK]<sop>" + system_turn("") + TURN,
        "[gMASK]<sop>" + TURN,
        system_turn("You are Rio."),
        UNTOLD,
    ),
    "a beginning before each turn": Case(
        "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token }}[Q]{{ m.content }}[/Q]"
        "{% elif m.role == 'assistant' %}{{ m.content }}{{ eos_token }}"
        "{% else %}{{ raise_exception('no system message, please') }}{% endif %}{% endfor %}",
        "<s>[Q]Who?[/Q]",
        None,
        "<s>[Q]Who?[/Q]",
        bos="<s>",
        eos="</s>",
    ),
    "instructions in brackets": Case(
        "{{ bos_token }}{% for m in messages %}"
        "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% elif m.role == 'assistant' %}{{ m.content }}{{ eos_token }}"
        "{% else %}[SYS]{{ m.content }}[/SYS]{% endif %}{% endfor %}",
        "<s>[INST] Who? [/INST]",
        "<s>[SYS][/SYS][INST] Who? [/INST]",
        "<s>[INST] Who? [/INST]",
        bos="<s>",
        eos="</s>",
    ),
    "a system message is refused": Case(
        _REFUSES,
        "<b><turn>user\nWho?<end>\n<turn>model\n",
        None,
        "<b><turn>user\nWho?<end>\n<turn>model\n",
        bos="<b>",
    ),
    "headers, and a date that always stands": Case(
        "{{ bos_token }}<|h|>system<|/h|>\nToday: {{ strftime_now('%d %b %Y') }}\n"
        "{% if messages[0].role == 'system' %}{{ messages[0].content }}"
        "{% set messages = messages[1:] %}{% endif %}<|eot|>"
        "{% for m in messages %}<|h|>{{ m.role }}<|/h|>\n{{ m.content }}<|eot|>{% endfor %}"
        "{% if add_generation_prompt %}<|h|>assistant<|/h|>\n{% endif %}",
        "<s><|h|>system<|/h|>\nToday: 03 Feb 2027\n<|eot|>"
        "<|h|>user<|/h|>\nWho?<|eot|><|h|>assistant<|/h|>\n",
        "<s><|h|>system<|/h|>\nToday: 03 Feb 2027\n<|eot|>"
        "<|h|>user<|/h|>\nWho?<|eot|><|h|>assistant<|/h|>\n",
        "<s><|h|>user<|/h|>\nWho?<|eot|><|h|>assistant<|/h|>\n",
        "<|h|>system<|/h|>\nToday: 03 Feb 2027\n<|eot|>",
        ALWAYS,
        bos="<s>",
    ),
    "content in parts": Case(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}"
        "{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        TURN,
        system_turn("") + TURN,
        TURN,
    ),
    "content in parts, or as text": Case(
        chatml(said="m.content if m.content is string else m.content[0].text"),
        TURN,
        system_turn("") + TURN,
        TURN,
    ),
    "thoughts in the last answer": Case(
        _THINKS, TURN, system_turn("") + TURN, TURN, proof="comparison"
    ),
    "thoughts in the last answer, and a default": Case(
        untold(system_turn("You are Rio.")) + _THINKS,
        system_turn("You are Rio.") + TURN,
        system_turn("") + TURN,
        TURN,
        system_turn("You are Rio."),
        UNTOLD,
        proof="comparison",
    ),
    "an end where no reply follows": Case(
        _ENDS,
        "<|user|>\nWho?<|end|>\n<|assistant|>\n",
        "<|system|>\n<|end|>\n<|user|>\nWho?<|end|>\n<|assistant|>\n",
        "<|user|>\nWho?<|end|>\n<|assistant|>\n",
        eos="<|eot|>",
        proof="comparison",
    ),
    "an end where no reply follows, and a default": Case(
        untold("<|system|>\nYou are Rio.<|end|>\n") + _ENDS,
        "<|system|>\nYou are Rio.<|end|>\n<|user|>\nWho?<|end|>\n<|assistant|>\n",
        "<|system|>\n<|end|>\n<|user|>\nWho?<|end|>\n<|assistant|>\n",
        "<|user|>\nWho?<|end|>\n<|assistant|>\n",
        "<|system|>\nYou are Rio.<|end|>\n",
        UNTOLD,
        eos="<|eot|>",
        proof="comparison",
    ),
    "channels": Case(
        _CHANNELS,
        "<|start|>system<|message|>You are Rio, a model by Polar.<|end|>"
        "<|start|>user<|message|>Who?<|end|><|start|>assistant",
        "<|start|>system<|message|>You are Rio, a model by Polar.<|end|>"
        "<|start|>developer<|message|># Rules\n<|end|>"
        "<|start|>user<|message|>Who?<|end|><|start|>assistant",
        "<|start|>user<|message|>Who?<|end|><|start|>assistant",
        "<|start|>system<|message|>You are Rio, a model by Polar.<|end|>",
        ALWAYS,
        proof="comparison",
    ),
    "answers in marks of their own": Case(
        _RESPONSES,
        "<b><|TURN|><|SYSTEM|># Preamble\nYou are Rio.\n<|END|>"
        "<|TURN|><|USER|>Who?<|END|><|TURN|><|BOT|>",
        "<b><|TURN|><|SYSTEM|># Preamble\nYou are Rio.\n<|END|>"
        "<|TURN|><|USER|>Who?<|END|><|TURN|><|BOT|>",
        "<b><|TURN|><|USER|>Who?<|END|><|TURN|><|BOT|>",
        "<|TURN|><|SYSTEM|># Preamble\nYou are Rio.\n<|END|>",
        ALWAYS,
        bos="<b>",
        proof="comparison",
    ),
    "a thought is begun before the reply": Case(
        chatml(last="<think>\n"),
        TURN + "<think>\n",
        system_turn("") + TURN + "<think>\n",
        TURN + "<think>\n",
    ),
    "speakers by name": Case(
        "{% set who = {'user': 'USER: ', 'assistant': 'BOT: ', 'system': ''} %}"
        "{% for m in messages %}{{ who[m.role] }}"
        "{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}BOT:{% endif %}",
        "USER: Who?\nBOT:",
        "\nUSER: Who?\nBOT:",
        "USER: Who?\nBOT:",
    ),
    "speakers by name, under a preface": Case(
        "A chat between a curious user and Rio.\n\n"
        "{% set who = {'user': 'USER: ', 'assistant': 'BOT: ', 'system': ''} %}"
        "{% for m in messages %}{{ who[m.role] }}"
        "{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}BOT:{% endif %}",
        "A chat between a curious user and Rio.\n\nUSER: Who?\nBOT:",
        "A chat between a curious user and Rio.\n\n\nUSER: Who?\nBOT:",
        "USER: Who?\nBOT:",
        "A chat between a curious user and Rio.\n\n",
        ALWAYS,
    ),
    "roles behind special marks": Case(
        "<SP_10>System\n{% if messages[0].role == 'system' %}{{ messages[0].content }}"
        "{% set messages = messages[1:] %}{% else %}You are Rio.{% endif %}{{ '\n' }}"
        "{% for m in messages %}<SP_11>{{ m.role | title }}\n{{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}<SP_11>Assistant\n{% endif %}",
        "<SP_10>System\nYou are Rio.\n<SP_11>User\nWho?\n<SP_11>Assistant\n",
        "<SP_10>System\n\n<SP_11>User\nWho?\n<SP_11>Assistant\n",
        "<SP_11>User\nWho?\n<SP_11>Assistant\n",
        "<SP_10>System\nYou are Rio.\n",
        UNTOLD,
    ),
    "trimmed text": Case(chatml(said="m.content | trim"), TURN, system_turn("") + TURN, TURN),
    "a macro writes the turns": Case(
        "{% macro turn(role, text) %}<|im_start|>{{ role }}\n{{ text }}<|im_end|>\n{% endmacro %}"
        "{% for m in messages %}{{ turn(m.role, m.content) }}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        TURN,
        system_turn("") + TURN,
        TURN,
    ),
    "a namespace holds the default": Case(
        "{% set ns = namespace(system='You are Rio.') %}"
        "{% for m in messages if m.role == 'system' %}{% set ns.system = m.content %}{% endfor %}"
        "<|im_start|>system\n{{ ns.system }}<|im_end|>\n"
        "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}\n{{ m.content }}"
        "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        system_turn("You are Rio.") + TURN,
        system_turn("") + TURN,
        TURN,
        system_turn("You are Rio."),
        UNTOLD,
    ),
    "ends of turns by role": Case(
        _ENDS_OF_ROLES,
        "<s><|s|>You are Rio.<|/s|><|d|>Deliberation: disabled<|/d|><|u|>Who?<|/u|><|a|>",
        "<s><|s|><|/s|><|d|>Deliberation: disabled<|/d|><|u|>Who?<|/u|><|a|>",
        "<s><|u|>Who?<|/u|><|a|>",
        "<|s|>You are Rio.<|/s|><|d|>Deliberation: disabled<|/d|>",
        PARTLY,
        bos="<s>",
        proof="comparison",
    ),
    "an answer is ended by what follows": Case(
        _ENDED_LATER,
        "<s><|s|>You are Rio.<|/s|><|d|>Deliberation: disabled<|/d|><|u|>Who?<|/u|><|a|>",
        "<s><|s|><|/s|><|d|>Deliberation: disabled<|/d|><|u|>Who?<|/u|><|a|>",
        "<s><|u|>Who?<|/u|><|a|>",
        "<|s|>You are Rio.<|/s|><|d|>Deliberation: disabled<|/d|>",
        PARTLY,
        bos="<s>",
        proof="comparison",
    ),
    "words begin the reply": Case(
        _STEPS,
        "<|begin_system|>\nYou are Rio, and end with [FINAL].\n<|begin_user|>\nWho?\n"
        "<|begin_bot|>\nHere are my steps:\n",
        "<|begin_system|>\n\n<|begin_user|>\nWho?\n<|begin_bot|>\nHere are my steps:\n",
        "<|begin_user|>\nWho?\n<|begin_bot|>\nHere are my steps:\n",
        "<|begin_system|>\nYou are Rio, and end with [FINAL].\n",
        UNTOLD,
        proof="comparison",
    ),
    "a reply is asked for always": Case(
        _ALWAYS_ASKED,
        "<b><|TURN|><|SYSTEM|>You are Rio.<|END|>"
        "<|TURN|><|USER|>Who?<|END|><|TURN|><|BOT|><|THINKS|><|THOUGHT|>",
        "<b><|TURN|><|SYSTEM|>You are Rio.<|END|>"
        "<|TURN|><|USER|>Who?<|END|><|TURN|><|BOT|><|THINKS|><|THOUGHT|>",
        "<b><|TURN|><|USER|>Who?<|END|><|TURN|><|BOT|><|THINKS|><|THOUGHT|>",
        "<|TURN|><|SYSTEM|>You are Rio.<|END|>",
        ALWAYS,
        bos="<b>",
        proof="comparison",
    ),
    "tools are gone through where there are none": Case(
        _TOOLS + chatml(),
        system_turn("You are Rio.") + TURN,
        system_turn("You are Rio.") + system_turn("") + TURN,
        TURN,
        system_turn("You are Rio."),
        ALWAYS,
    ),
    "fields of messages are set": Case(
        "{% for m in messages %}{% set m.kind = m.role | upper %}{% set m.tools = [] %}{% endfor %}"
        "{% for m in messages %}<|{{ m.kind }}|>{{ m['content'] }}{{ m.tools | length }}<|E|>"
        "{% endfor %}{% if add_generation_prompt %}<|ASSISTANT|>{% endif %}",
        "<|USER|>Who?0<|E|><|ASSISTANT|>",
        "<|SYSTEM|>0<|E|><|USER|>Who?0<|E|><|ASSISTANT|>",
        "<|USER|>Who?0<|E|><|ASSISTANT|>",
    ),
}

#: Templates for which no bare prompt can be proved: what stands before a question is in its turn.
UNPROVED = {
    "the first turn holds the default": (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] "
        "{% if loop.first %}<<SYS>>\nYou are Rio.\n<</SYS>>\n\n{% endif %}{{ m.content }} [/INST]"
        "{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
    ),
    "the last turn holds the system message": (
        "{% for m in messages %}{% if m.role == 'user' %}[INST]"
        "{% if loop.last %}You are Rio.\n\n{% endif %}{{ m.content }}[/INST]"
        "{% else %}{{ m.content }}</s>{% endif %}{% endfor %}"
    ),
    "a turn between the question and the reply": (
        "{% for m in messages %}<|T|>{{ m.role }}|{{ m.content }}<|E|>{% endfor %}"
        "{% if add_generation_prompt %}<|T|>system|You are Rio.<|E|><|T|>assistant|{% endif %}"
    ),
    "the same without marks": (
        "{% for m in messages %}{{ m.role | upper }}: {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}SYSTEM: You are Rio.\nASSISTANT:{% endif %}"
    ),
    "earlier turns are left out": (
        "<u>{{ messages[-1].content }}</u>{% if add_generation_prompt %}<a>{% endif %}"
    ),
    "a question is asked by nobody": "{% if add_generation_prompt %}<a>{% endif %}",
}
