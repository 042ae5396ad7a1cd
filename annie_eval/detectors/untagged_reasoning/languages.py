"""The signs of untagged reasoning in other languages than English; see `untagged_reasoning.rules`."""

from __future__ import annotations

from annie_eval.detectors.untagged_reasoning.rule import Rule

LANGUAGES: tuple[Rule, ...] = (
    Rule(
        "speaks of the user, in German",
        ("nutzer", "anwender", "der user"),
        r"(?:der|die|dieser) (?:nutzer|benutzer|anwender|nutzerin|benutzerin|user) (?:fragt|möchte (?:wissen|eine?"
        r"|den|das"
        r"|die|von|auf)|will (?:wissen|von)|bittet|hat (?:mich|nach|gefragt|gebeten|auf)|grüßt|begrüßt|wünscht"
        r"|erkundigt"
        r"|sagt|stellt|spricht|schreibt)\b",
    ),
    Rule(
        "plans the answer, in German",
        ("antwort", "reagier"),
        r"ich (?:sollte|muss|soll|werde) (?:(?!Ihnen|dir|dich|euch)[^,]){0,50}\b(?:antworten|reagieren"
        r"|antwort geben)\b",
    ),
    Rule(
        "speaks of the user, in French",
        ("utilisat",),
        r"l['’]utilisat(?:eur|rice) (?:me |nous |a |est en train de |semble )?(?:demand|veut (?:savoir|que|une?\b"
        r"|conna)"
        r"|souhait|salu|pose|cherche|interrog|voudrait|dit\b|écrit)",
    ),
    Rule(
        "plans the answer, in French",
        ("répond",),
        r"(?:je (?:dois|devrais|vais devoir)|il faut que je|nous devons) (?:(?!vous|te\b)\w+ ){0,3}répond(?:re|e)\b"
        r"|il faut répondre (?:en|de (?:façon|manière)|par|brièvement|simplement|directement|poliment)\b",
    ),
    Rule(
        "speaks of the user, in Spanish",
        ("usuari",),
        r"(?:el|la) usuari[oa] (?:me |nos |está |ha |parece )?(?:pregunt|pid|quiere (?:saber|que|una?\b)|dese"
        r"|solicit|salud"
        r"|dice|consult|busc)",
    ),
    Rule(
        "plans the answer, in Spanish",
        ("responder", "contestar"),
        r"(?:debo|debería|tengo que|necesito|hay que) (?:\w+ ){0,2}(?:responder|contestar)\b",
    ),
    Rule(
        "speaks of the user, in Italian",
        ("utente",),
        r"l['’]utente (?:mi |ci |sta |ha |sembra )?(?:chied|chiest|vuole (?:sapere|che|una?\b)|desider|salut|dice"
        r"|domand"
        r"|cerc|vorrebbe)",
    ),
    Rule(
        "plans the answer, in Italian",
        ("rispondere", "replicare"),
        r"(?:devo|dovrei|bisogna|dobbiamo) (?:\w+ ){0,2}(?:rispondere|replicare)\b",
    ),
    Rule(
        "speaks of the user, in Portuguese",
        ("usuári", "utilizador"),
        r"[oa] (?:usuári[oa]|utilizadora?) (?:me |está |parece )?(?:pergunt|ped|quer (?:saber|que|uma?\b)|desej"
        r"|solicit"
        r"|cumpriment|diss|gostaria)",
    ),
    Rule(
        "speaks of the user, in Dutch",
        ("gebruiker",),
        r"de gebruiker (?:vraagt|wil (?:weten|een|dat)|heeft gevraagd|groet|wenst|zegt)\b",
    ),
    Rule("speaks of the user, in Polish", ("użytkownik",), r"użytkownik (?:pyta|chce|prosi|zapytał|wita)"),
    Rule("speaks of the user, in Turkish", ("kullanıcı",), r"kullanıcı (?:\S+ ){0,6}(?:soruyor|istiyor|sordu|istedi)"),
    Rule(
        "speaks of the user, in Russian",
        ("пользователь", "ответить", "отвечать"),
        r"пользователь (?:меня )?(?:спрашивает|хочет|просит|задал|спросил|поздоровался|интересуется|здоровается"
        r"|попросил)"
        r"|(?:мне (?:нужно|следует|надо)|я долж(?:ен|на)) (?!вам|тебе)(?:\w+ ){0,2}(?:ответить|отвечать)\b",
    ),
    Rule(
        "speaks of the user, in Japanese",
        ("ユーザ",),
        r"ユーザー?(?:さん|様)?(?:は|が|から|の).{0,60}(?:尋ね|聞い|聞きた|質問|求め|望ん|知りた|挨拶|言って|依頼|頼ん|たがって)",
        "inside",
        topical=False,
    ),
    Rule(
        "plans the answer, in Japanese",
        ("べき", "必要があ"),
        r"(?:答え|回答す|返答す|返事す|応答す)る(?:べき|必要があ)",
        "inside",
    ),
    Rule(
        "speaks of the user, in Chinese",
        ("用户", "用戶", "使用者"),
        r"(?:用户|用戶|使用者)(?:似乎|可能|正在|现在|只是|想|要求|询问|詢問|问|問|希望|提出|让我|请求|說|说|在问|打招呼|发来"
        r"|的问题|的問題)",
        "inside",
        topical=False,
    ),
    Rule(
        "plans the answer, in Chinese",
        ("回答", "回复", "回應", "回应"),
        r"我(?:需要|应该|應該|得)(?:用\w{1,4}|直接|简短|简洁)?(?:回答|回复|回應|回应)(?!您|你)",
        "inside",
    ),
    Rule(
        "speaks of the user, in Korean",
        ("사용자",),
        r"사용자(?:가|는|의|께서).{0,60}(?:묻|물었|물어|질문|원하|원한|요청|인사|말했|알고 싶)",
        "inside",
        topical=False,
    ),
    Rule(
        "speaks of the user, in Hindi",
        ("उपयोगकर्ता", "प्रयोक्ता", "यूज"),
        r"(?:उपयोगकर्ता|प्रयोक्ता|यूज़र|यूजर).{0,60}(?:पूछ|चाहत|जानना|प्रश्न|सवाल|अभिवादन|कहा|अनुरोध)",
        "inside",
        topical=False,
    ),
    Rule("plans the answer, in Hindi", ("मुझे",), r"मुझे .{0,40}(?:उत्तर|जवाब) देना (?:चाहिए|होगा)", "inside"),
    Rule(
        "speaks of the user, in Arabic",
        ("المستخدم", "يجب أن"),
        r"(?:المستخدم|المستخدمة) (?:يسأل|تسأل|يريد|تريد|يطلب|سأل|طلب|يرغب|يقول)|يجب أن (?:أجيب|أرد)",
        "inside",
        topical=False,
    ),
)
