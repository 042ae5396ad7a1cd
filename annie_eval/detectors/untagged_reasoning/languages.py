"""The cues of untagged reasoning in other languages than English: one row of words a language, the same cues for all.

A row names the user, asking, being obliged, answering, tools, using, the question, brevity, the heads of a thought,
and deliberation, each as alternatives of a regular expression. A language is added by adding a row, and its weights by
measuring it (benchmarks/reasoning_cues.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from annie_eval.detectors.untagged_reasoning.cues import Cue, Where


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language; alternatives are separated by `|`. An empty entry makes no cue."""

    language: str
    user: str
    asks: str
    must: str = ""
    answer: str = ""
    tool: str = ""
    use: str = ""
    question: str = ""
    brief: str = ""
    head: str = ""
    think: str = ""
    no_tool: str = ""
    to_user: str = ""
    itself: str = ""


ROWS: tuple[Words, ...] = (
    Words(
        "de",
        user="nutzer|nutzerin|benutzer|benutzerin|anwender|anwenderin|der user",
        asks="fragt|möchte|will|bittet|hat (?:mich|nach|gefragt|gebeten|auf)|grüßt|begrüßt|wünscht|erkundigt|sagt|stellt"
        "|spricht|schreibt|braucht|sucht|verlangt|hätte gern",
        must="ich (?:sollte|muss|soll|werde|brauche|verwende|nutze)|muss ich|sollte ich|brauche ich"
        "|soll ich|werde ich",
        answer="antworten|antworte|reagieren|antwort geben|beantworten|erwidern",
        tool="werkzeuge?|(?:das|ein|welches|kein|dem) tool|die funktion",
        use="aufrufen|verwenden|benutzen|nutzen|einsetzen|suchen|nachschlagen|abrufen",
        question="die frage (?:ist|lautet|bezieht|betrifft|zielt|handelt)|(?:einfache|direkte|leichte|kurze|klare) (?:fakten|wissens)?frage"
        "|die anfrage|gefragt (?:ist|wird)|es wird (?:nach|gefragt)",
        brief="(?:in|mit) (?:einem|nur einem) (?:kurzen )?satz|ohne (?:formatierung|markdown|liste|listen|aufzählung)|(?:ich|muss|sollte) (?:also )?(?:kurz|knapp)"
        "|antworte (?:ich )?(?:kurz|knapp)|kein markdown|keine formatierung",
        head="denkprozess|gedankengang|überlegung(?:en)?|gedanken?|begründung|analyse|nachdenken",
        think="mal (?:sehen|überlegen)|lass mich (?:überlegen|nachdenken|prüfen)|ich überlege|das sage ich",
        no_tool="kein(?:e|en)? (?:werkzeug|tool|funktion|werkzeugaufruf)\\w*(?: ist| sind)? (?:nötig|notwendig|erforderlich)",
        to_user="dem (?:nutzer|benutzer|anwender|user)|der (?:nutzerin|benutzerin)",
        itself="auf deutsch",
    ),
    Words(
        "fr",
        user="utilisateur|utilisatrice",
        asks="demand|veut|souhait|salu|pose|cherche|interrog|voudrait|dit\\b|écrit|aimerait|a besoin|désire|me remercie",
        must="je (?:dois|devrais|vais)|il faut que je|nous devons|j'ai besoin|j’ai besoin|il me faut|il faut",
        answer="répond(?:re|s|e)?|réponse",
        tool="outils?|fonctions?",
        use="appel\\w*|utilis(?:er|e)|invoqu\\w*|recherch\\w*|cherch(?:er|e)|consult\\w*",
        question="la (?:question|demande|requête) (?:est|porte|concerne|demande)|question (?:simple|facile|factuelle|directe)"
        "|demande simple",
        brief="(?:en|par) une (?:seule )?(?:courte )?phrase|phrase courte|sans (?:markdown|mise en forme|liste|formatage)"
        "|brièvement|de manière concise|de façon (?:brève|concise)|pas de markdown",
        head="réflexion|raisonnement|pensée|analyse|processus de réflexion",
        think="voyons (?:quel|ce que|comment|si)|réfléchissons|laisse-moi réfléchir|je réfléchis",
        no_tool="(?:pas besoin|aucun besoin) d[e'’] ?(?:outil|fonction)|aucun outil|pas d[e'’]outil",
        to_user="à l['’]utilisat(?:eur|rice)",
        itself="en français",
    ),
    Words(
        "es",
        user="usuari[oa]",
        asks="pregunt|pid[eió]|quiere|dese|solicit|salud|dice|consult|busc|necesita|ha preguntado|me dio las gracias",
        must="debo|debería|tengo que|necesito|hay que|voy a|debemos|tenemos que",
        answer="responder|contestar|respondo|respuesta",
        tool="herramientas?|funci(?:ón|ones)",
        use="llamar|usar|utilizar|invocar|buscar|consultar",
        question="la (?:pregunta|solicitud|petición|consulta) (?:es|trata|pide|se refiere)|pregunta (?:sencilla|simple|fácil|directa|factual)",
        brief="en una (?:sola )?(?:frase|oración)|frase corta|sin (?:markdown|formato|listas?)|(?:respond\\w+|contest\\w+) brevemente|de (?:forma|manera) (?:breve|concisa)"
        "|respuesta breve",
        head="razonamiento|pensamiento|reflexión|análisis|proceso de pensamiento",
        think="veamos|déjame pensar|pensemos|se lo digo",
        no_tool="no (?:hace falta|es necesari[oa]|se necesita|necesito)(?: usar)?(?: ninguna| una| la)? (?:herramienta|función)",
        to_user="al usuario|a la usuaria",
        itself="en español",
    ),
    Words(
        "it",
        user="utente",
        asks="chied|chiest|vuole|desider|salut|dice|domand|cerc|vorrebbe|ha bisogno|mi ringrazia",
        must="devo|dovrei|bisogna|dobbiamo|ho bisogno di|occorre",
        answer="rispond\\w*|replicare|risposta",
        tool="strument[oi]|funzion[ei]|(?:il|un|quale) tool",
        use="chiamare|usare|utilizzare|invocare|cercare|consultare",
        question="la (?:domanda|richiesta) (?:è|riguarda|chiede)|domanda (?:semplice|facile|diretta)|richiesta semplice",
        brief="in una (?:sola )?(?:breve )?frase|frase breve|senza (?:markdown|formattazione|elenchi|liste)|rispond\\w+ brevemente|in modo (?:breve|conciso)"
        "",
        head="ragionamento|pensiero|riflessione|analisi|processo di pensiero",
        think="vediamo|fammi pensare|lo dico",
        no_tool="non (?:serve|servono|è necessari[oa]|occorre)(?: usare)?(?: nessun[oa]?| alcun[oa]?| uno| una| lo| la)? (?:strument|funzion|tool)\\w*",
        to_user="all['’]utente",
        itself="in italiano",
    ),
    Words(
        "pt",
        user="usuári[oa]|utilizador(?:a)?",
        asks="pergunt|ped[eiu]|quer|desej|solicit|cumpriment|diss|gostaria|precisa|saudou|agradec",
        must="devo|deveria|tenho (?:que|de)|preciso|vou|devemos|precisamos",
        answer="responder|respondo|resposta",
        tool="ferramentas?|fun(?:ção|ções)",
        use="chamar|usar|utilizar|invocar|procurar|buscar|consultar|pesquisar",
        question="a (?:pergunta|solicitação|pedido|questão) (?:é|trata|pede)|pergunta (?:simples|fácil|direta|factual)",
        brief="(?:em|n)uma (?:só |única )?(?:frase|linha)|frase curta|sem (?:markdown|formatação|listas?)|respond\\w+ brevemente|de (?:forma|maneira) (?:breve|concisa|curta)"
        "",
        head="raciocínio|pensamento|reflexão|análise|processo de pensamento",
        think="vejamos|vamos ver|deixa-me pensar|deixe-me pensar",
        no_tool="não (?:é preciso|é necessário|preciso|precisa|há necessidade de)(?: usar)?(?: de)?(?: nenhuma| uma| a)? (?:ferramenta|função)",
        to_user="ao (?:usuário|utilizador)|à (?:usuária|utilizadora)",
        itself="em português",
    ),
    Words(
        "nl",
        user="gebruiker|gebruikster",
        asks="vraagt|wil\\b|heeft gevraagd|groet|begroet|wenst|zegt|zoekt|vroeg|zou graag|bedankt",
        must="ik (?:moet|zou|zal|ga)|moet ik|zal ik|laat me|we moeten",
        answer="antwoord\\w*|beantwoord\\w*|reageren|reageer",
        tool="(?:de|een|welke|geen) tool|functies?|hulpmiddel\\w*|gereedschap",
        use="aanroepen|gebruiken|inzetten|zoeken|opzoeken|oproepen",
        question="de (?:vraag|aanvraag|verzoek) (?:is|gaat|betreft|luidt)|(?:eenvoudige|makkelijke|simpele|directe) vraag|het verzoek",
        brief="in (?:één|een) (?:korte )?zin|zonder (?:markdown|opmaak|lijst\\w*)|kort antwoord\\w*|bondig|geen (?:markdown|opmaak|lijsten)",
        head="redenering|gedachte(?:n|gang)?|overweging|analyse|denkproces",
        think="even (?:denken|kijken)|laat me (?:nadenken|denken|kijken)|dat zeg ik",
        no_tool="geen (?:tool|functie|hulpmiddel)\\w*(?: is)? (?:nodig|vereist)",
        to_user="(?:tegen|aan) de gebruiker",
        itself="in het nederlands",
    ),
    Words(
        "pl",
        user="użytkownik(?:a|owi|iem)?|użytkowniczk[aię]",
        asks="pyta|chce|prosi|zapyta[łl]|wita|życzy|potrzebuje|poprosi[łl]|mówi|szuka",
        must="muszę|powin(?:ienem|nam)|trzeba|należy|potrzebuję",
        answer="odpowiedzieć|odpowiadać|odpowiem|odpowiedź",
        tool="narzędzi\\w*|funkcj\\w*",
        use="wywołać|użyć|skorzystać|wyszukać|sprawdzić|użyj",
        question="pytanie (?:jest|dotyczy|brzmi)|(?:proste|łatwe|krótkie) pytanie|prośba",
        brief="jednym (?:krótkim )?zdani\\w*|bez (?:markdown\\w*|formatowania|list)|krótko|zwięźle",
        head="rozumowanie|myśl(?:enie|i)?|analiza|przemyślenia|proces myślowy",
        think="zastanówmy się|zastanawiam się|pomyślmy|zobaczmy",
        no_tool="nie (?:potrzebuję|potrzeba|trzeba|jest potrzebne)(?: używać)?(?: żadnego)? (?:narzędzi\\w*|funkcj\\w*)",
        to_user="użytkownikowi|użytkowniczce",
        itself="po polsku",
    ),
    Words(
        "ru",
        user="пользовател(?:ь|я|ю|ем)|пользовательниц[аыеу]",
        asks="спрашивает|хочет|просит|задал|задаёт|задает|спросил|поздоровал|интересуется|здорова|попросил|говорит|ищет"
        "|желает|нужн|приветствует",
        must="мне (?:нужно|следует|надо)|я долж(?:ен|на)|нужно|следует|надо|необходимо|мы должны|сообщу",
        answer="ответить|отвечать|отвечу|ответ\\b",
        tool="инструмент\\w*|функци\\w*",
        use="вызвать|использовать|применить|обратиться|поискать|воспользоваться",
        question="вопрос (?:о|об|про|касается|простой)\\b|(?:простой|лёгкий|легкий|прямой) (?:вопрос|запрос)|запрос",
        brief="одним (?:коротким )?предложени\\w*|без (?:markdown|форматирования|списк\\w*)|(?:отвечу|ответить) (?:кратко|коротко)|(?:кратко|коротко) ответ",
        head="рассуждени[ея]|размышлени[ея]|мысли|мысль|анализ|ход мыслей",
        think="давайте подумаем|подумаем|подумаю|посмотрим|надо подумать",
        no_tool="(?:инструмент\\w*|функци\\w*) (?:здесь |тут )?не (?:нуж\\w+|требу\\w+)|без инструмент\\w*|не нужн\\w+ инструмент\\w*",
        to_user="пользователю",
        itself="на русском|по-русски",
    ),
    Words(
        "zh",
        user="用户(?!的)|用戶(?!的)|使用者(?!的)|用户的(?:问题|请求|意图)(?:是|很)",
        asks="正在|想|要求|询问|詢問|问|問|希望|提出|让我|請求|请求|說|说|打招呼",
        must="我(?:需要|应该|應該|得|要)|需要|应该|應該|所以",
        answer="回答|回复|回應|回应|答复",
        tool="(?<!交通)工具|函数|函數|功能",
        use="调用|調用|使用|查找|搜索|查询",
        question="这是一?个?(?:简单|常识|直接|事实)|(?:这个|這個|该)?(?:问题|問題|请求)(?:是关于|是關於|很简单|很簡單|涉及|要求)|簡單的問題|简单的问题",
        brief="用?一句话|一句話|简短|簡短|简洁|簡潔|不(?:使用|用|要|能用)(?:列表|markdown|格式)|直接回答",
        head="思考(?:过程|過程)?|推理|分析|想法",
        think="让我想|讓我想|让我们想|我来(?:想|告诉|看)|想一想",
        no_tool="(?:不需要|无需|不用|無需)(?:使用|调用|調用)?(?:任何)?(?:工具|函数|函數)",
        to_user="告诉用户|告訴用戶|向用户|给用户",
        itself="用中文|用汉语",
    ),
    Words(
        "ja",
        user="(?<!の)ユーザー?(?:さん|様)?(?:は|が|から)",
        asks="尋ね|聞い|聞きた|質問|求め|望ん|知りた|挨拶|言って|依頼|頼ん|たがって|希望",
        must="べき|必要があ|必要が有|なければならない|ないといけない|よう。|ようと思",
        answer="答え|回答|返答|返事|応答",
        tool="ツール|関数|ファンクション",
        use="呼び出|使う|使っ|使用|検索|調べ",
        question="(?:簡単|単純|シンプル)な(?:質問|依頼)|(?:この|今回の)(?:質問|依頼)は|質問は",
        brief="一文で|短く|簡潔に|日本語で(?:答|返)|マークダウン(?:なし|を使わ)|リストは使わ",
        head="思考(?:プロセス|過程)?|推論|考え|分析",
        think="考えよう|考えてみ|伝えよう|しよう。|見てみよう",
        no_tool="(?:ツール|関数)(?:を使う)?(?:は|の)?(?:必要(?:は|が)?な|不要|呼び出しは不要)",
        to_user="(?<!の)ユーザー?(?:さん)?に",
        itself="日本語で",
    ),
    Words(
        "ko",
        user="사용자",
        asks="묻|물었|물어|질문|원하|원한|요청|인사|말했|알고 싶|알고싶|부탁",
        must="해야 ?(?:한다|합니다|겠다|할)|하자|야겠다|어야 ?(?:한다|합니다)|필요가 있|필요하",
        answer="답|대답|응답|답변",
        tool="도구|함수|툴",
        use="호출|사용|검색",
        question="(?:간단한|쉬운|단순한) (?:질문|요청)|질문은|이 질문",
        brief="한 문장|짧게|간결하게|간단히|한국어로 (?:답|대답)|마크다운 없이|목록 없이",
        head="생각|추론|사고 과정|분석",
        think="생각해 ?보자|생각해 보면|알려 ?주자|것으로 하자|보자",
        no_tool="(?:도구|함수)(?:가|는|를)?(?: 사용할| 호출할)? ?필요(?:가|는)? ?없|도구 없이",
        to_user="사용자에게",
        itself="한국어로",
    ),
    Words(
        "hi",
        user="उपयोगकर्ता|प्रयोक्ता|यूज़र|यूजर",
        asks="पूछ|चाहत|जानना|प्रश्न|सवाल|अभिवादन|कहा|अनुरोध|माँग|मांग",
        must="मुझे|चाहिए|होगा|करना है|देना है",
        answer="उत्तर|जवाब",
        tool="टूल|फ़ंक्शन|फंक्शन|उपकरण",
        use="कॉल|उपयोग|इस्तेमाल|खोज",
        question="(?:सरल|आसान|सीधा) (?:प्रश्न|सवाल)|(?:यह|प्रश्न|सवाल) .{0,20}के बारे में है",
        brief="एक वाक्य में|संक्षेप में|छोटा (?:उत्तर|जवाब)|हिंदी में (?:उत्तर|जवाब)|बिना सूची|बिना मार्कडाउन",
        head="विचार(?: प्रक्रिया)?|तर्क|सोच|विश्लेषण",
        think="सोचता हूँ|सोचती हूँ|सोचते हैं|देखते हैं|बताता हूँ|सुनाता हूँ",
        no_tool="(?:टूल|फ़ंक्शन|फंक्शन) (?:की|का)? ?(?:ज़रूरत|जरूरत|आवश्यकता) नहीं",
        to_user="उपयोगकर्ता को (?:बता|उत्तर|जवाब)",
        itself="हिंदी में|हिन्दी में",
    ),
    Words(
        "ar",
        user="المستخدم(?:ة)?|للمستخدم",
        asks="يسأل|تسأل|يريد|تريد|يطلب|سأل|طلب|يرغب|يقول|يحيي|يحتاج|يود",
        must="يجب أن|يجب|علي أن|عليّ أن|أحتاج إلى|سوف|ينبغي|سأ",
        answer="أجيب|أرد|الإجابة|الرد|جيب",
        tool="أداة|الأداة|دالة|الدالة|وظيفة|الأدوات",
        use="استدعاء|أستدعي|استخدام|أستخدم|البحث|استخدامها",
        question="سؤال (?:بسيط|سهل|مباشر)|السؤال (?:عن|بسيط|هو)|الطلب (?:هو|بسيط)",
        brief="بجملة (?:واحدة|قصيرة)|في جملة|باختصار|بإيجاز|بدون (?:قوائم|تنسيق)",
        head="التفكير|تفكير|تحليل|الاستدلال",
        think="دعني أفكر|لنفكر|لنر|دعنا نفكر",
        no_tool="لا (?:حاجة|داعي|أحتاج)(?: إلى| ل)? ?(?:لاستخدام |لاستدعاء |استخدام )?(?:أي )?(?:ل?أداة|ل?دالة)",
        to_user="للمستخدم|أخبر المستخدم|المستخدم بذلك",
        itself="باللغة العربية|بالعربية",
    ),
    Words(
        "tr",
        user="kullanıcı",
        asks="soruyor|istiyor|sordu|istedi|selam",
        must="gerekiyor|gerek|meliyim|malıyım",
        answer="cevap|yanıt",
        tool="araç|aracını|fonksiyon",
        use="kullan|çağır",
        brief="kısaca|tek cümle",
    ),
    Words(
        "cs",
        user="uživatel(?:ka)?",
        asks="se ptá|chce|žádá|zeptal|zdraví|přeje",
        must="musím|měl bych|měla bych",
        answer="odpovědět",
        tool="nástroj|funkci",
        use="použít|zavolat",
        brief="krátce|stručně|jednou větou",
    ),
    Words(
        "uk",
        user="користувач(?:ка)?",
        asks="питає|запитує|хоче|просить|запитав|вітається",
        must="мені (?:потрібно|треба)|я повин|потрібно",
        answer="відповісти",
        tool="інструмент|функцію",
        use="викликати|використати",
        brief="коротко|стисло|одним реченням",
    ),
    Words(
        "he",
        user="המשתמש(?:ת)?",
        asks="שואל|רוצה|מבקש|שאל|ביקש",
        must="אני צריך|אני צריכה|עליי|צריך",
        answer="לענות|להשיב",
        tool="לכלי|הכלי|כלי|פונקציה",
        use="לקרוא|להשתמש",
        brief="בקצרה|במשפט אחד",
    ),
    Words(
        "th",
        user="ผู้ใช้",
        asks="ถาม|ต้องการ|ขอ|อยาก|ทักทาย",
        must="ฉันควร|ต้อง|ควร",
        answer="ตอบ",
        tool="เครื่องมือ|ฟังก์ชัน",
        use="เรียกใช้|ใช้",
        brief="สั้นๆ|สั้น ๆ|ประโยคเดียว",
    ),
    Words(
        "sv",
        user="användaren",
        asks="frågar|vill|ber|undrar|hälsar",
        must="jag (?:bör|måste|ska)",
        answer="svara",
        tool="verktyget|funktionen",
        use="anropa|använda",
        brief="svara kort|kort svar|en mening",
    ),
    Words(
        "da",
        user="brugeren",
        asks="spørger|vil|beder|ønsker|hilser",
        must="jeg (?:bør|skal|må)",
        answer="svare",
        tool="værktøjet|funktionen",
        use="kalde|bruge",
        brief="svare kort|kort svar|én sætning|en sætning",
    ),
    Words("nb", user="brukeren", asks="spør|vil|ber|ønsker|hilser"),
    Words("fi", user="käyttäjä", asks="kysyy|haluaa|pyytää|tervehtii"),
    Words("el", user="χρήστης", asks="ρωτά|θέλει|ζητά|χαιρετά"),
    Words("ro", user="utilizatorul", asks="întreabă|vrea|cere|dorește|salută"),
    Words("hu", user="felhasználó", asks="kérdez|szeretné|kér|akarja|üdvöz"),
    Words("id", user="pengguna", asks="bertanya|ingin|meminta|menyapa|menanyakan"),
    Words("vi", user="người dùng", asks="hỏi|muốn|yêu cầu|chào"),
)

# Scripts without spaces have no word boundaries.
_SPACELESS = frozenset({"zh", "ja", "ko", "th", "hi", "ar", "he"})
_STOP = r"[^.!?\n。！？।]"


def _hints(words: str) -> tuple[str, ...]:
    """The longest literal run of each alternative, so that a text without any of them is passed over quickly."""
    return tuple(
        max(re.split(r"\(\?(?:[:!=]|<[!=]).*?\)\??|\\\w\*?|\[.*?\]|\w\?|[.?*+()]", one), key=len).lower()
        for one in _split(words)
    )


def _split(words: str) -> list[str]:
    """The alternatives on the outermost level."""
    parts, depth, start = [], 0, 0
    for index, letter in enumerate(words):
        depth += (letter == "(") - (letter == ")")
        if letter == "|" and depth == 0:
            parts.append(words[start:index])
            start = index + 1
    return [*parts, words[start:]]


def _cues(row: Words) -> tuple[Cue, ...]:
    bound = "" if row.language in _SPACELESS else r"\b"
    gap = "{0,60}?"
    user, asks, must, answer, tool, use = (
        rf"{bound}(?:{words})" for words in (row.user, row.asks, row.must, row.answer, row.tool, row.use)
    )
    end = bound

    def cue(name: str, reason: str, needs: str, pattern: str, where: Where = "inside") -> Cue:
        return Cue(f"other: {name}", reason, where, _hints(needs), pattern, row.language)

    orders = rf"{user}{end}{_STOP}{gap}{asks}"
    if row.language == "ar":
        orders += rf"|{asks}{_STOP}{gap}{user}"
    made = [
        cue("user asks", "speaks of the user", row.user, orders),
        cue("user", "speaks of the user", row.user, rf"{user}{end}"),
    ]
    if row.must:
        made += [
            cue(
                "plans answer",
                "plans the answer",
                row.answer,
                rf"{must}{_STOP}{gap}{answer}|{answer}{_STOP}{{0,12}}?{must}",
            ),
            cue(
                "plans call",
                "talks of tools",
                row.tool,
                rf"{use}{_STOP}{gap}{tool}|{tool}{_STOP}{{0,30}}?{use}|{must}{_STOP}{gap}{tool}",
            ),
            cue(
                "uses name",
                "plans a call",
                row.use,
                rf"{use}{_STOP}{{0,30}}?[a-z]{{2,20}}_[a-z]|[a-z]{{2,20}}_[a-z]{{2,20}}{_STOP}{{0,16}}?{use}",
            ),
            cue("tool", "talks of tools", row.tool, rf"{tool}"),
            cue("form", "says how long the answer is", row.brief, rf"{bound}(?:{row.brief})"),
        ]
    if row.question:
        made += [
            cue("to the user", "plans to tell the user", row.to_user, rf"{bound}(?:{row.to_user}){end}"),
            cue("own language", "names the language", row.itself, rf"{bound}(?:{row.itself})"),
            cue("question", "comments on the request", row.question, rf"{bound}(?:{row.question})"),
            cue("head", "heads a thought", row.head, rf"(?:{row.head})\s?[:：]", "start"),
            cue("deliberates", "deliberates", row.think, rf"{bound}(?:{row.think})"),
            cue("no tool", "talks of tools", row.no_tool, rf"{bound}(?:{row.no_tool})"),
        ]
    return tuple(made)


LANGUAGES: tuple[Cue, ...] = tuple(cue for row in ROWS for cue in _cues(row))
