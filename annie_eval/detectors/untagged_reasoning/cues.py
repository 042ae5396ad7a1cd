"""The cues of untagged reasoning, as data: what each looks for and where. How much each weighs is in weights.toml.

Speech addresses the listener; a thought speaks of "the user", plans the answer or the call, names tools, and talks of
the form that the answer must have. No cue decides by itself unless its measured weight says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Where = Literal["opening", "start", "inside"]


@dataclass(frozen=True, slots=True)
class Cue:
    """One cue.

    Attributes:
        name: what its weight is stored by; cues of other languages than English share their names.
        reason: what it shows, for the finding; of cues that show the same, only the heaviest counts.
        where: `opening` at the beginning of the answer, `start` at the beginning of a sentence, `inside` anywhere.
            Ornaments and words such as "Okay, so" may come before the beginning.
        hints: lower-case texts, one of which the text must hold before the pattern is tried.
        pattern: a regular expression, case ignored; its reach is bounded, so that the search stays linear.
        language: of the words that it looks for.
    """

    name: str
    reason: str
    where: Where
    hints: tuple[str, ...]
    pattern: str
    language: str = "en"


# Words that come before the matter of a sentence; there may be several.
LEAD_INS = (
    r"(?:o?kay|ok|alright|all right|hmm+|so|well|right|now|wait|first(?:ly)?|first of all|got it|let's see|let me see"
    r"|let me think|then|also|and|but|thus|therefore|great|perfect|since|because|as|given that|it seems(?: that)?"
    r"|it looks like|apparently|clearly|analysis"
    r"|alles klar|gut|also|nun|zuerst|bien|bon|d'accord|alors|donc|vale|bueno|de acuerdo|entonces|va bene|allora|certo"
    r"|dunque|muito bem|então|oké|goed|dus|dobrze|więc|dobře|итак|хорошо|ладно|好的?|嗯|那么|首先|なるほど|さて|まず"
    r"|좋아|음|ठीक है|अच्छा|حسنًا|حسنا|طيب)[\s,.…!:，。、—-]{1,5}"
)

_USER = r"(?:(?:the|this|our) )?(?<!another )user"
_SOFTENER = (
    r"(?:(?:is|was|has|have|just|now|simply|also|only|probably|clearly|likely|really|seems to|appears to|might|may|be"
    r"|been|did ?n[o'’]t|does ?n[o'’]t|has ?n[o'’]t|would) ){0,4}"
)
_META = (
    r"(?:use|call|check|look|search|query|fetch|get|find|determine|figure|identify|invoke|retrieve|interpret|parse"
    r"|respond|answer|reply|present|confirm|inform|provide|acknowledge|greet|make sure|state|mention|follow|comply"
    r"|compute|produce|clarify|verify|access|understand|see if|see what|think about|relay|recall|craft|formulate|keep|avoid)"
)
_SNAKE = r"(?-i:[a-z]{2,20}(?:_[a-z0-9]{1,20}){1,5})"
_CAMEL = r"(?-i:[A-Z][a-z]{1,15}(?:[A-Z][a-z]{1,15}){2,6}|Get[A-Z][a-z]{2,15}(?:[A-Z][a-z]{1,15}){0,4})"
_HEADS = (
    r"(?:my |internal |inner |final |quick |short )?(?:thinking|thinks|thoughts?|reasoning|reflection|rationale"
    r"|chain of thought|scratchpad|monologue|note to self|internal|internal note|deliberation|thinking process"
    r"|thought process)"
)
_WEAK_HEADS = (
    r"(?:my |the |final |quick )?(?:analysis|plan|goal|task|intent|strategy|constraints?|check|self-check|draft"
    r"|approach|decision|assumptions?|observation|step 1|requirements?|objective|context|tone|format|style|tool)"
)

ENGLISH: tuple[Cue, ...] = (
    Cue(
        "user asks",
        "speaks of the user",
        "start",
        ("user",),
        rf"{_USER}(?:['’]s|,)? {_SOFTENER}(?:ask|want|request|say|said|greet|wonder|inquir|thank|need|mention|specif"
        r"|instruct|would like|refer|query|queries|looking for|talking about|trying to|told|expect|mean)\w*",
    ),
    Cue(
        "user does",
        "speaks of the user",
        "start",
        ("user",),
        rf"{_USER} {_SOFTENER}(?:g[ai]ve|giving|provid|wrote|writ|sent|send|ha[sd]|likes?|started|tells?|wish|seem|is"
        r"|was|did|does|may|might|probably)\b",
    ),
    Cue(
        "user quoted",
        "repeats what the user said",
        "start",
        ("user",),
        rf"{_USER}(?: (?:says|said|asks|asked|wants|request|query|input|message|question|prompt))?\s?:\s?[\"“'«A-Z]",
    ),
    Cue(
        "the user",
        "speaks of the user",
        "inside",
        ("the user", "our user"),
        r"\b(?:the|our) user\b(?!['’]?s? (?:manual|guide|interface|account|name|group|menu|settings|id|profile"
        r"|experience|base|agreement|ratings?|reviews?|of\b))",
    ),
    Cue(
        "what the user wants",
        "speaks of the user",
        "inside",
        ("the user",),
        r"\b(?:what|that|which|as|since|because) the user (?:asked|asks|wanted|means|is asking|said"
        r"|requested)\b",
    ),
    Cue(
        "the user's request",
        "speaks of the user",
        "inside",
        ("user",),
        r"\b(?:user['’]s|user) (?:\w+ )?(?:question|query|request|message|input|prompt|greeting|intent|instruction"
        r"|language|command)\b",
    ),
    Cue(
        "tell the user",
        "plans to tell the user",
        "inside",
        ("the user", "them"),
        r"\b(?:should|need to|must|will|I['’]ll|let me|to|can|and) (?:tell|inform|let|ask|answer|give|show|greet|help"
        r"|provide|relay \w+ to|present \w+ to|confirm(?: \w+)? to|say (?:this|that) to) (?:to )?the user\b"
        r"|\b(?:should|need to|must) (?:tell|inform|let|ask|answer|greet) them\b",
    ),
    Cue(
        "they want",
        "speaks of the asker",
        "opening",
        ("they", "he ", "she ", "he's", "he’s"),
        r"(?:they|he|she)(?:['’]re| are|['’]s| is)? (?:(?:just|only|probably) )?(?:want(?:s|ed)?|ask(?:s|ed|ing)?"
        r"|request(?:s|ed|ing)?|greet(?:s|ed|ing)?)\b",
    ),
    Cue(
        "the request",
        "comments on the request",
        "start",
        ("request", "query", "prompt", "command"),
        r"(?:the|this|their) (?:(?:user|current|first|last) )?(?:request|query|prompt|command)(?: here)?(?:['’]s| is"
        r"|\s?:| asks| wants| requires| needs| seems| concerns| means| refers| involves)",
    ),
    Cue(
        "the question",
        "comments on the request",
        "opening",
        ("question",),
        r"(?:the|this) question(?: here)?(?:['’]s| is|\s?:| asks| wants| requires| seems| concerns| means| refers)",
    ),
    Cue(
        "that will do",
        "deliberates",
        "inside",
        ("will do", "is enough", "suffice", ", so"),
        r"\b(?:will do|is enough|suffices?)\b(?! for you)|(?:request|question|query|greeting|fact|joke|info)\b[^.!?\n]{0,40}, so\b"
        r"(?!.{0,30}\byou)",
    ),
    Cue(
        "kind of request",
        "comments on the request",
        "start",
        ("request", "query", "question", "prompt", "greeting", "command", "easy one"),
        r"(?:(?:this|that|it)(?:['’]s| is| seems(?: to be| like)?| appears to be| looks like| sounds like)(?: just)? )?"
        r"(?:an? |the )?(?:(?:simple|easy|quick|direct|factual|straightforward|basic|general|casual|common|trivial"
        r"|short|geography|math|arithmetic|knowledge|clear|ambiguous|plain) ?,? ?){1,3}"
        r"(?:request|query|question|prompt|greeting|command|one)\b"
        r"|(?:this|that|it)(?:['’]s| is)(?: just)? an? (?:question|request|greeting|command|query)(?: about| for|\b)"
        r"|(?-i:A greeting\.|Greeting\.)",
    ),
    Cue(
        "kind of request, no more",
        "comments on the request",
        "start",
        ("request", "query", "question", "prompt", "greeting", "command"),
        r"(?:(?:this|that|it)(?:['’]s| is)(?: just)? )?(?:an? )?(?:(?:simple|easy|quick|direct|factual|straightforward"
        r"|basic|general|casual|trivial|geography|math|arithmetic|knowledge|ambiguous),? ){1,3}"
        r"(?:request|query|question|prompt|greeting|command)(?=[.;]|, (?:so|no|I|one|short|just|answer))",
    ),
    Cue(
        "analyses the request",
        "analyses the request",
        "start",
        ("analy", "interpret", "pars", "understand", "identif", "determin", "deconstruct"),
        r"(?:analy[sz](?:e|ing)|deconstruct(?:ing)?|interpret(?:ing)?|pars(?:e|ing)|understand(?:ing)?"
        r"|identify(?:ing)?|determin(?:e|ing)) (?:the )?(?:user(?:['’]s)? )?(?:request|input|query|intent|prompt"
        r"|question|core (?:question|task)|constraints)\b",
    ),
    Cue(
        "states its task",
        "states its task",
        "start",
        ("asked", "task is", "supposed to"),
        r"(?:we|I)(?: are|['’]re| am|['’]m|['’]ve been| have been) (?:being )?(?:asked|told|supposed) (?:to|for)\b(?!.{0,40}\byou)"
        r"|my task(?: here)? is|the task(?: here)? is to (?:respond|answer|reply|provide|produce|generate)",
    ),
    Cue(
        "requires",
        "works out what is needed",
        "start",
        ("require", "need", "doesn't", "does not"),
        r"(?:this|that|it|which) (?:requires|does ?n[o'’]t require|needs to|would require|does ?n[o'’]t need)\b",
    ),
    Cue(
        "we need to",
        "plans as we",
        "opening",
        ("we ", "we’", "we'"),
        r"we (?:need|have|should|must|are asked|can|could|will|want|['’]re|are)\b",
    ),
    Cue(
        "we plan",
        "plans as we",
        "start",
        ("we ",),
        rf"we (?:need|should|must|have to|can|could|will|want to|might|may|could|just)(?: to)?(?: \w+)? {_META}\b"
        r"|we (?:call|use|respond|answer|don['’]t have|do not have)\b|we (?:need|have) (?:a |the )?(?:user|current|live|static)",
    ),
    Cue(
        "bare need",
        "plans without a subject",
        "start",
        ("need", "must", "should", "have to"),
        r"(?-i:Need|Needs|Must|Should|Have to|Might)(?: also| just)?(?: to)?"
        rf" (?!answer:)(?:{_META}|current|live|a? ?short|time|one|be (?:one|short|brief|concise|a short|a brief)|set|provide|tool|say|avoid|keep|give|include|count|specify)\b",
    ),
    Cue(
        "bare order",
        "tells itself what to do",
        "start",
        ("use ", "call ", "query", "provide", "compute", "respond", "answer", "reply", "produce", "output", "return"),
        r"(?-i:Use|Call|Query|Provide|Compute|Respond|Answer|Reply|Produce|Output|Return|Domain|Parameters)\b"
        r"(?: |:)(?!you\b|me\b|us\b|it'?s\b|the (?:phone|door|number))",
    ),
    Cue(
        "I plan",
        "plans the answer",
        "inside",
        ("i need", "i should", "i must", "i have to", "i ought", "i just need", "i also", "i would need"),
        rf"\bI (?:just |also |would |now |first )?(?:need to|should|must|have to|ought to)(?: now| just| also| first"
        rf"| probably| simply| then| definitely| likely)? (?:{_META}|be (?:brief|short|concise))\b(?! (?:to )?(?:you|your|\w+['’]s))",
    ),
    Cue(
        "I'll answer",
        "plans the answer",
        "start",
        ("i'll", "i’ll", "i will", "i can ", "i'm going"),
        r"I(?:['’]ll| will|['’]m going to| can)(?: now| just| simply| also)? (?:answer|respond|reply"
        r"|produce|craft|compose|state|keep (?:it|this|the answer|my answer)|give an?|greet|call the|use the|put it"
        r"|come up)\b(?!.{0,60}\byou)",
    ),
    Cue(
        "let me",
        "sets itself to work",
        "start",
        ("let me", "let's", "let’s"),
        rf"let me (?:now |first |also |just )?(?:{_META}|think|recall|try|analy[sz]e|consider|see|craft|break|re-?read|do)\b"
        rf"(?!.{{0,20}}\b(?:you|that up|for you)\b)|let['’]s (?:{_META}|do (?:that|it)|try|go with|set|respond)\b"
        r"(?!.{0,20}\byou\b)",
    ),
    Cue(
        "so answer",
        "says how to answer",
        "inside",
        ("answer", "respond", "reply", "response"),
        r"\b(?:so|then|now|just|and|we|should|must|need to|will|to|can)(?: (?:we|I)(?: can| should)?)? (?:answer"
        r"|respond|reply)(?: with|:|,|\.| that| in| directly| briefly| accordingly| concisely| friendly| politely"
        r"| naturally)|(?:['’]s|['’]ll|let me|will) (?:answer|respond|reply) (?:directly|briefly|concisely|politely|naturally|in a)\b|\b(?:provide|produce|craft|formulate|give) (?!you|me|us)(?:the |an? )?(?:(?!you)\w+ ){0,2}(?:answer|response|reply)\b"
        r"|(?-i:Answer|Respond|Reply) (?:directly|briefly|concisely|accordingly|naturally|with|in)\b",
    ),
    Cue(
        "short answer",
        "says how long the answer is",
        "inside",
        ("sentence", "repl", "response", "answer"),
        r"\b(?:(?:one|single|two|1|one or two|1-3|one to three|1-2)(?:,? (?:short|brief|concise|spoken|simple|friendly"
        r"|complete|plain|clear|direct|final|natural)){0,3}|(?:an? )?(?:short|brief|concise|spoken|direct|friendly)(?:,? (?:short"
        r"|brief|concise|spoken|simple|friendly|plain|clear|natural)){0,2}),? (?:sentences?|reply|replies"
        r"|responses?|answers?)\b(?! (?:to|from|would|by|is)\b)",
    ),
    Cue(
        "no markdown",
        "says what the answer must not hold",
        "inside",
        ("markdown", "format", "list", "bullet", "emoji", "heading"),
        r"\b(?:no|without|avoid(?:ing)?|not use|any|or)(?: any)? (?:markdown|formatting|format|lists?|bullets?"
        r"|bullet points|emojis?|headings?)\b|\b(?:lists|markdown|emojis?) (?:is|are) not allowed\b",
    ),
    Cue(
        "keep it short",
        "says how long the answer is",
        "inside",
        ("keep", "brief", "concise", "in plain", "spoken", "aloud"),
        r"\bkeep(?:ing)? (?:it|this|the (?:answer|reply|response)|things|my answer|my reply)(?: \w+ and)?"
        r" (?:short|brief|concise|simple|light|friendly|spoken|conversational|natural|clean|to (?:one|two|a))\b"
        r"|\b(?:be|stay) (?:brief|concise)\b|\bspoken (?:style|answer|english|sentence|reply|response)\b"
        r"|\bin plain (?:words|text|speech)\b|\bwhen (?:it is |it['’]s )?(?:read|spoken|said) aloud\b",
    ),
    Cue(
        "answer should",
        "says how long the answer is",
        "start",
        ("answer", "response", "reply", "output"),
        r"(?:the |my )?(?:final )?(?:answer|response|reply|output) (?:should|must|needs to|has to) (?:be (?:very )?(?:short"
        r"|brief|one|concise|a (?:short|brief|single)|in plain|spoken)|not (?:use|contain|have)|sound|avoid|consist)\b",
    ),
    Cue(
        "snake name",
        "plans a call",
        "inside",
        ("_",),
        rf"(?<![\w./@]){_SNAKE}(?![\w./@])",
    ),
    Cue(
        "camel name",
        "plans a call",
        "inside",
        (),
        rf"(?<![\w./@#]){_CAMEL}(?![\w@]|\.\w)",
    ),
    Cue(
        "use name",
        "plans a call",
        "inside",
        ("use", "using", "call", "invoke", "need"),
        rf"\b(?:use|using|call|calling|invoke|need|needs|query)(?: the| to use| to call)? [`'\"]?(?:{_SNAKE}|{_CAMEL})",
    ),
    Cue(
        "function talk",
        "talks of tools",
        "inside",
        ("function", "tool"),
        r"\b(?:function|tool) (?:call|signature|param|definition|returned|expects|accepts|requires|description|result"
        r"|that can|which can|called|named|for that|for this)|\bavailable (?:tools|functions)\b"
        rf"|\b(?:call|calling|use|using|invoke|need)(?: the| an?| any| which)?(?: [`'\"]?\w+[`'\"]?)? (?:tool|function)\b"
        rf"|(?:{_SNAKE}|{_CAMEL})[`'\"]? (?:tool|function)|\b(?:the|a) (?:right|correct|appropriate|best) (?:tool"
        r"|function)\b",
    ),
    Cue("tool word", "talks of tools", "inside", ("function", "tool"), r"\b(?:functions?|tools?)\b"),
    Cue(
        "no tools",
        "talks of tools",
        "inside",
        ("tool", "function"),
        r"\bno (?:need (?:for|to use|to call) (?:any )?)?(?:tools|functions)(?: are)?(?: needed| required| necessary|\b)"
        r"|\b(?:don['’]t|do not|does ?n[o'’]t|shouldn['’]t) (?:need|require|use|have)(?: to)?(?: use)? any"
        r" (?:tools|functions)\b",
    ),
    Cue(
        "no tool",
        "talks of tools",
        "inside",
        ("tool", "function"),
        r"\bno (?:need (?:for|to use|to call) (?:an? |the )?)?(?:tool|function)(?: calls?)?\b"
        r"|\b(?:don['’]t|do not|does ?n[o'’]t|shouldn['’]t) (?:need|require|use|call)(?: to)?(?: use| call)?"
        r" (?:an?|any|the) (?:tool|function)\b|\b(?:tool|function)s?: none\b|\bnone of the (?:available )?(?:tools"
        r"|functions)\b",
    ),
    Cue(
        "parameters",
        "talks of parameters",
        "inside",
        ("parameter", "argument", "domain", "entit", "query"),
        r"\b(?-i:parameters?|arguments?|domain|entity|entities)\b|\bquery(?: is)?:? [\"“']|\bquery: ",
    ),
    Cue(
        "context",
        "talks of its context",
        "inside",
        ("context", "instruction", "system prompt", "system message", "guidelines"),
        r"\b(?:static|live|given|provided|system|conversation) context\b|\b(?:the|my|per) (?:system )?instructions?"
        r" (?:says?|states?|said|is\b|are|mention|tell|require|:)|\baccording to (?:the |my )?(?:system|instructions?"
        r"|guidelines|context|static)|\bsystem (?:prompt|message)\b|\binstructions?:|\bmust (?:not )?(?:use|avoid)"
        r" (?:lists|markdown|emoji)|\bfrom the (?:static |live )?context\b",
    ),
    Cue(
        "result",
        "talks of a tool's result",
        "inside",
        ("response", "function", "tool", "result", "call", "action", "error", "memory", "request"),
        r"\b(?:the|a|it) (?:search |tool |function |memory |api )?(?:response|function|tool|results?|call|function call"
        r"|action) (?:was successful|returned|indicates?|shows?|confirms?|says|completed|succeeded|executed)\b"
        r"|(?<!\w )\b(?:got|have) the (?:search |tool |memory )?results?\b|\bsuccess(?:ful)? (?:response|result)\b|\breturned (?:an? )?"
        r"(?:error|success|result|empty)|\btool returned\b|\bfunction call was\b",
    ),
    Cue(
        "live data",
        "works out what is needed",
        "inside",
        ("data", "info", "state"),
        r"\b(?:current|live|real-?time|up-to-date)(?: \w+)? (?:state|data|info|information)\b",
    ),
    Cue(
        "looking at",
        "looks at its context",
        "start",
        ("looking at", "i can see", "there's a", "there is a", "from the", "in static"),
        r"looking at (?:the |my |this |these )?(?:available|static|live|current |user|function|tool|parameter|context"
        r"|device|result|response|calendar event|todo|question|request|description)"
        r"|(?:i can see|there['’]s|there is|we have)(?: that)?(?: there['’]s| there is)? an? [`'\"]?\w+[`'\"]? (?:function"
        r"|tool|device)|from the (?:static|live|context)|in (?:the )?static",
    ),
    Cue(
        "unspecified",
        "finds the request unclear",
        "inside",
        ("specif", "ambiguous"),
        r"\b(?:not|un)specified\b|\b(?:did|does) ?n[o'’]t specify\b|\bambiguous\b",
    ),
    Cue(
        "hesitates",
        "hesitates",
        "start",
        ("maybe", "perhaps", "possibly", "probably", "likely", "hmm", "wait", "actually", "alternatively", "could be"),
        r"(?:maybe|perhaps|possibly|probably|likely|alternatively|could be|but maybe|or maybe)\b"
        r"|(?:hmm+|wait)[,.]|(?:actually|wait|hmm+)[,. ]+(?:the|I|we|let|should|maybe|need|that|it)\b",
    ),
    Cue(
        "I recall",
        "deliberates",
        "inside",
        ("i recall", "i remember", "i know", "double-check", "i lack", "common knowledge"),
        r"\bI (?:recall|remember|know) (?:that|it['’]s|from)\b|\bdouble-check\b|\bI lack\b"
        r"|\bcommon knowledge\b|\bfrom (?:my |general )?knowledge\b",
    ),
    Cue(
        "so the answer",
        "deliberates",
        "start",
        ("answer", "so we", "so i", "so call", "so use"),
        r"(?:so,? )(?:the (?:final )?answer|we|call|use|respond|I(?:['’]ll| will| should| need| can))\b"
        r"|(?:now I can|now we can|that answers|final answer)\b",
    ),
    Cue("compute", "computes aloud", "inside", ("compute", "="), r"\bcompute\b|\d\s?[*×+/]\s?\d+\s?="),
    Cue(
        "head",
        "heads a thought",
        "start",
        (
            "think",
            "thought",
            "reason",
            "reflection",
            "rationale",
            "scratchpad",
            "monologue",
            "note to",
            "internal",
            "deliberation",
        ),
        rf"(?:here(?:['’]s| is) (?:a|the|my) )?{_HEADS}[*_]{{0,3}}(?:\s?:|\s[-–—])[*_]{{0,3}}\s",
    ),
    Cue(
        "weak head",
        "heads a thought",
        "opening",
        (
            "analysis",
            "plan",
            "goal",
            "task",
            "intent",
            "strategy",
            "constraint",
            "check",
            "draft",
            "approach",
            "decision",
            "assumption",
            "observation",
            "step 1",
            "requirement",
            "objective",
            "context",
            "tone",
            "format",
            "style",
            "tool",
        ),
        rf"{_WEAK_HEADS}[*_]{{0,3}}(?:\s?:|\s[-–—])[*_]{{0,3}}\s",
    ),
    Cue(
        "bracketed head",
        "thinks in brackets",
        "inside",
        (
            "think",
            "thought",
            "reason",
            "reflection",
            "rationale",
            "scratchpad",
            "monologue",
            "note",
            "internal",
            "analysis",
            "plan",
        ),
        rf"[\[({{*]{{1,2}}/?(?:{_HEADS}|analysis|plan)(?:\]|\)|\}}|\*|\s?:|\s[-–—]|, )",
    ),
    Cue(
        "thought for",
        "says how long it thought",
        "opening",
        ("thought for", "reasoned for", "thinking for"),
        r"(?:thought|reasoned|thinking) for (?:\d{1,5}|a few|an?|several|some|\w+) ?(?:seconds?|moments?|minutes?|s\b"
        r"|while)",
    ),
    Cue(
        "switch",
        "holds a switch of thinking",
        "inside",
        ("think", "reasoning effort", "reasoning: "),
        r"(?<![\w/<\[{(|◁])/(?:no_?)?think\b(?![>\]}▷|])|\bdetailed thinking (?:on|off)\b|\breasoning(?: effort|_effort)?: ?(?:low|medium"
        r"|high)\b",
    ),
    Cue(
        "step by step",
        "thinks step by step",
        "start",
        ("step by step", "step-by-step"),
        r"let(?:['’]s| us| me) (?:think|reason)(?: \w+)? step[- ]by[- ]step\b",
    ),
    Cue(
        "assistant should",
        "speaks of the assistant",
        "inside",
        ("assistant",),
        r"\b(?:the )?assistant (?:should|must|needs? to|has to|will) (?:respond|reply|answer|use|call|say|keep|be)\b"
        r"|\bas an? (?:ai|voice|helpful)(?: voice| language)? (?:assistant|model),? I (?:should|must|need|have)\b",
    ),
)
