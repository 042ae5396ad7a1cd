"""The signs by which untagged reasoning is recognised, as data; `untagged_reasoning.find` applies them.

Speech addresses the listener as "you"; leaked reasoning speaks of "the user" in the third person, or of how the
answer should be made. Hence the exceptions for "you" in many patterns.
"""

from __future__ import annotations

from annie_eval.detectors.untagged_reasoning.languages import LANGUAGES
from annie_eval.detectors.untagged_reasoning.rule import Rule

# Words that come before the matter, in the languages of the rules; a sentence may have several.
LEAD_INS = (
    r"(?:o?kay|ok|alright|all right|hmm+|mm+|so|well|right|now|wait|first(?:ly)?|first of all|got it|let's see"
    r"|let me see"
    r"|let me think(?: about (?:this|it|that))?(?! step by step)"
    r"|alles klar|gut|also|nun|zuerst|bien|bon|d'accord|alors|donc|vale|bueno"
    r"|de acuerdo|entonces|va bene|allora|certo|dunque|dobře|итак|хорошо|ладно)(?!\w)[\s,.…!:—-]{1,5}"
)

_ASKS = (
    r"(?:(?:is|was|has been|'s) )?(?:just |now |simply |only |also |really |probably |already ){0,2}"
    r"(?:ask(?:s|ed|ing)|greet(?:s|ed|ing)|request(?:s|ed|ing)|want(?:s|ed) (?:me|to know|to hear|an?|some|help)"
    r"|wonder(?:s|ed|ing)"
    r"|inquir(?:es|ed|ing)|thank(?:s|ed|ing) me|told me|hasn't asked|didn't (?:ask|specify)|doesn't specify"
    r"|seems to (?:be|want)|appears to (?:be|want)|(?:might|may) be asking|is looking for|expects me"
    r"|would like (?:me|to know))\b"
)
_VERB = (
    r"(?:wants|wanted|needs|says|said|mentions|mentioned|seems|is|was|would like|might|may|gave|has|just|provided|sent"
    r"|wrote|expects|likes|started|tells|wishes)\b"
)
_ANSWERING = (
    r"(?:respond|reply|answer|produce|output|comply|craft|formulate|compose|acknowledge"
    r"|(?:give|provide) (?:a |an |the )?(?:very )?(?:short|brief|concise|spoken|direct|final|friendly|clear|answer"
    r"|response|reply)"
    r"|(?:call|use|invoke) (?:the |a |an |any )?[`\"']?\w{1,40}[`\"']? (?:tool|function)|call the tool"
    r"|keep (?:it|this|the (?:answer|response|reply)) (?:short|brief|concise|spoken|conversational"
    r"|to .{1,20}sentences?)"
    r"|greet (?:them|him|her|the user|back)|avoid (?:markdown|using|lists|bullet))\b"
)
_NO_YOU = r"(?!.{0,100}\b(?:you|your)\b)"

RULES: tuple[Rule, ...] = (
    Rule(
        "speaks of the user",
        ("user",),
        rf"(?:the|this) user,? (?:{_ASKS})|(?:the|this) user['’]s (?:just |now |also )?\w{{2,12}}ing\b",
    ),
    Rule("speaks of the user", ("user",), rf"(?:the|this|our) user,? (?:{_ASKS}|{_VERB})", "opening", topical=False),
    Rule(
        "speaks of the user",
        ("user",),
        r"(?:the|this|our) user (?:gives|gave|has (?:an?|asked|given|provided|mentioned|specified|said)|has not"
        r"|hasn['’]t"
        r"|did not|didn['’]t|does not|doesn['’]t|mentions|mentioned|says|said|wrote|writes|provided|expects|likely"
        r"|probably|clearly)\b",
        topical=False,
    ),
    Rule(
        "speaks of the user",
        ("reply", "answer", "response"),
        r"they (?:want|need|expect) (?:an? )?(?:\w+ ){0,2}(?:reply|answer|response)\b",
        "opening",
        topical=False,
    ),
    Rule("speaks of the user", ("user",), r"user (?:asks|asked|wants|says|said|is asking|greets|requests)\b"),
    Rule(
        "speaks of the user",
        ("user",),
        r"(?:I|we|let me|let's|I'll|I’ll|my)\b.{0,160}\bthe user\b(?!['’]?s? (?:manual|guide|interface|account|name"
        r"|group"
        r"|menu|settings|id|profile|experience|base|agreement))",
        topical=False,
    ),
    Rule(
        "speaks of the user",
        ("the human", "the person", "the customer", "the speaker", "the client", "the questioner"),
        r"the (?:human|person|customer|speaker|client|questioner) (?:is asking|wants (?:me|to know)|is greeting"
        r"|asks me)\b",
        "opening",
    ),
    Rule(
        "speaks of the user",
        ("the user",),
        r"(?:since|because|as|given that|but|and|it seems|it looks like|maybe|perhaps|looks like|seems like|clearly"
        r"|apparently|here),? (?:that )?the user\b(?!['’]?s? (?:manual|guide|interface|account|name))"
        r"|(?!you\b).{0,120}\b(?:what|that|which|as) the user (?:asked|wants|wanted|needs|means|is asking)\b",
        topical=False,
    ),
    Rule(
        "speaks of the assistant",
        ("assistant",),
        r"(?:the )?assistant (?:should|must|needs to|has to|will) (?:respond|reply|answer|use|call|say|keep|be)\b",
    ),
    Rule(
        "names the user's message",
        ("user's", "user’s"),
        r".{0,80}\bthe user['’]s (?:question|query|request|message|input|prompt|greeting|intent|instruction"
        r"|language)\b",
        topical=False,
    ),
    Rule(
        "heads a reasoning section",
        ("think", "thought", "monologue", "scratchpad"),
        r"(?:here(?:'s|’s| is) (?:a|the|my) )?(?:my |step[- ]by[- ]step |internal )?(?:thinking process"
        r"|thought process"
        r"|thinking|chain[- ]of[- ]thought|internal monologue|inner monologue|scratchpad)[*_]{0,3}\s?:",
    ),
    Rule(
        "heads a reasoning section",
        ("denkprozess", "gedankengang", "überleg", "réflexion", "pensamiento", "pensiero", "思考", "विचार"),
        r"(?:denkprozess|gedankengang|überlegung(?:en)?|processus de réflexion|proceso de pensamiento"
        r"|processo di pensiero|思考プロセス|思考过程|विचार प्रक्रिया)[*_]{0,3}\s?[:：]",
    ),
    Rule(
        "heads a reasoning section",
        (
            "thought",
            "reasoning",
            "analysis",
            "raison",
            "réflexion",
            "razona",
            "ragiona",
            "begründ",
            "推論",
            "分析",
            "推理",
        ),
        r"(?:thought|reasoning|analysis|raisonnement|réflexion|razonamiento|ragionamento|begründung|推論|分析|推理)"
        r"[*_]{0,3}\s?[:：]",
        "opening",
        topical=False,
    ),
    Rule(
        "analyses the request",
        ("request", "input", "query", "intent", "prompt", "core", "constraint"),
        r"(?:analy[sz](?:e|ing)|deconstruct(?:ing)?|interpret(?:ing)?|pars(?:e|ing)|understand(?:ing)?"
        r"|identify(?:ing)?|determin(?:e|ing)|check(?:ing)?) (?:the )?(?:user(?:['’]s)? )?"
        r"(?:request|input|query|intent|prompt|core (?:question|task)|constraints)[*_]{0,3}\s?[:.…]",
    ),
    Rule(
        "drafts the answer",
        ("draft", "polish", "self-correction"),
        r"(?:draft(?:ing)?|final polish|self-correction)(?: (?:the |a )?(?:answer|response|reply))?[*_]{0,3}:",
    ),
    Rule(
        "plans the answer",
        (
            "i should",
            "i need",
            "i must",
            "i have to",
            "i ought",
            "we should",
            "we need",
            "we must",
            "we have",
            "i just",
        ),
        rf"(?:I|we) (?:should|need to|must|have to|ought to|also need to|also should|just need to|should probably"
        rf"|should just|are asked to) {_ANSWERING}{_NO_YOU}",
    ),
    Rule(
        "plans the answer",
        ("answer", "response", "reply", "output"),
        r"(?:the|my) (?:answer|response|reply|output) (?:should|must|needs to|has to)"
        r" (?:be(?! (?:on|in|at|under)\b)|not|also|only|mention"
        r"|include"
        r"|contain|sound|avoid|stay|consist)\b",
    ),
    Rule(
        "plans the answer",
        ("respond", "answer", "produce"),
        rf"(?:I'll|I’ll|I will|I'm going to|I am going to) (?:respond (?:with|by|briefly|concisely|directly|politely"
        rf"|in a)"
        rf"|answer (?:briefly|concisely|directly|accordingly|in (?:a|one|two|three)\b)|produce){_NO_YOU}"
        rf"|(?:(?:need to|should) (?:respond|answer|reply|produce|output)|must (?:respond|reply))\b{_NO_YOU}"
        rf"|let['’]s (?:answer|respond|reply)\b(?! (?:the|that) (?:door|phone|bell)){_NO_YOU}",
    ),
    Rule(
        "states its task",
        ("task is to", "we are asked", "we're asked"),
        r"(?:my task is to|the task is to (?:respond|answer|reply|provide|produce|generate|give|help"
        r"|determine)|we(?: are|'re|’re) asked (?:to|for))\b",
        "opening",
    ),
    Rule(
        "thinks step by step",
        ("step by step",),
        r"(?:let's|let us|let me) (?:think|reason|work)\b.{0,40}step by step",
        "opening",
    ),
    Rule(
        "thinks as stage direction",
        ("think", "thought"),
        r"(?:thinking|thinks|thought|internal thought)[*)\]]",
        "opening",
    ),
    Rule(
        "plans the answer",
        ("tool", "function"),
        r"no (?:tools?|tool calls?|function calls?) (?:is |are )?(?:needed|required|necessary)(?! ?,| ?[-–—])"
        r"|(?:I |we )?(?:don't|do not|should not|shouldn't) (?:need to )?(?:use|call|need) (?:any |a |the )?"
        r"(?:tools?|functions?)\b(?=.{0,20}(?:here|for this|to answer|\.))"
        r"|no need (?:to|for) (?:use |call |using |calling )(?:any |a |the )?(?:tools?|functions?)\b",
    ),
    Rule(
        "plans the answer",
        ("figure out",),
        rf"(?:I|we) need to figure out (?:what|how|whether|if|the|which){_NO_YOU}",
        "opening",
    ),
    Rule(
        "cites its instructions",
        ("system prompt", "instructions", "guidelines", "as an ai"),
        r".{0,60}\b(?:the system prompt (?:says|states|tells|instructs|asks|requires|wants)|according to (?:my"
        r"|the system)"
        r" (?:system prompt|prompt|instructions|guidelines)|my (?:instructions|guidelines) (?:say|state|tell me"
        r"|require)"
        r"|as an ai(?: assistant| language model)?,? I (?:should|must|need to) (?:respond|reply|answer|be|provide))",
    ),
    Rule(
        "comments on the request",
        ("request", "query", "greeting", "prompt", "question"),
        r"(?:this|it)(?:'s|’s| is| seems like| looks like| appears to be| seems to be) (?:just )?(?:an? )?(?:very "
        r"|really"
        r" |fairly )?(?:simple |basic |straightforward |factual |general |casual |common |direct "
        r"|quick ){1,3}(?:factual"
        r" |arithmetic |math |knowledge )?(?:request|query|greeting|prompt|question(?=.{0,60}\b(?:so|and) I\b"
        r"| (?:that|which|about|asking)))",
        "opening",
    ),
    Rule(
        "comments on the request",
        ("question", "prompt", "query", "request"),
        r"the (?:question|prompt|query|request) (?:here )?(?:is asking|asks|wants|seems to"
        r"|is about|concerns|is simple)\b",
        "opening",
        topical=False,
    ),
    Rule("repeats a channel name", ("analysis",), r"analysis(?=(?-i:[A-Z]))|(?-i:analysis)\s+(?-i:[A-Z])", "opening"),
    Rule(
        "drafts the answer",
        ("response", "reply", "answer"),
        r"(?:let me|let['’]s|I['’]ll|I will|I should|I need to|we should|we need to)"
        r" (?:craft|formulate|compose|generate) "
        rf"(?:an?|the|my) (?:\w+ ){{0,2}}(?:response|reply|answer)\b(?! to\b){_NO_YOU}"
        r"|(?:response|output|possible (?:answer|reply|response))[*_]{0,3}:",
        "opening",
    ),
    Rule(
        "plans the answer",
        ("we need", "we have", "let me"),
        r"we (?:need|have) to (?:compute|determine)\b"
        r"|let me (?:consider|determine) (?:what|how|whether) (?:they|he|she|the)\b",
        "opening",
    ),
    Rule("repeats a channel name", ("assistantfinal", "assistantanalysis"), r"assistant(?:final|analysis)", "inside"),
    *LANGUAGES,
)

# Signs that people use too; three different kinds, or four, in one answer are too many.
WEAK: tuple[Rule, ...] = (
    Rule("hesitates", ("hm",), r"(?:hmm+|mm-?hm)\b"),
    Rule("hesitates", ("wait",), r"(?:but |oh |no, )?wait\b"),
    Rule(
        "sets itself to work",
        ("let's", "let me", "so i need"),
        r"(?:(?:o?kay|alright|all right|well),? )?(?:so,? )?(?:let's (?:see|think|break|compute|work|recall|verify)"
        r"|let me (?:think|recall|double[- ]check|break|re-?read|consider|work|verify)"
        r"|I need to)\b(?!.{0,60}\byour?\b)",
    ),
    Rule(
        "sets itself to work",
        ("i need to", "i have to"),
        r".{0,20}\bI (?:need|have) to (?:find|recall|figure|remember|determine|work|think|compute|calculate)\b"
        r"(?!.{0,60}\byour?\b)",
    ),
    Rule("remembers", ("i recall", "i remember", "i know"), r".{0,60}\bI (?:recall|remember|know) (?:that|from)\b"),
    Rule("concludes", ("so",), r"so,? (?:the answer|I can|I should|I'll|that means|putting|in summary|yes)\b"),
    Rule("concludes", ("the answer",), r".{0,60}\bthe answer (?:should|would|must|has to) be\b"),
    Rule("weighs", ("sure",), r".{0,60}\bI'm (?:pretty|fairly|quite) sure\b"),
    Rule(
        "weighs",
        ("actually", "alternatively", "maybe", "perhaps"),
        r"(?:actually|alternatively|maybe|perhaps),? (?:I should|let me|the question)\b",
    ),
)
