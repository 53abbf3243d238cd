"""What a word near a mention is about, the same in every language: making, naming, building on, denying, comparing, saying.

A word counts by its stem; Han, Kana and Thai, which are not cut into words, by characters in a row. The concepts let the
classifier carry over to one language what it learned of a turn of phrase in another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

#: Stems of words (a final $ ends the word).
_STEMS: Final[dict[str, str]] = {
    "make": "mad(?:e|ly)$|make|built|build|creat|develop|train|design|releas|launch|publish|invent|engineer|maker|programm|fashion|produc|owns?$|trein|cri(?:ou|ad|ar)|desenvolv|fez$|feit|projet|lan[cç]|public|construi|fabric|"
    "entrwickel|entwick|gebaut|baute|gemacht|trainier|erschaff|geschaff|hersteller|veröffentlich|herausgebracht|programmier|stamm|créé|cré[ea]|développ|entraîn|conçu|concept|construit|publié|entren|desarroll|diseñ|hizo$|hecho$|construy|"
    "sviluppat|addestrat|progettat|realizzat|fatto$|creat|costruit|созда|разработ|обуч|сдела|выпусти|построи|학습|개발|만들|만든|훈련|제작|출시|공개|طور|صنع|درب|انش|ابتكر|تطوير|تدريب|बना|विकसित|प्रशिक्षित|तैयार|निर्मा|geliştir|yap(?:tı|ıl|an|ım)|eğit|yarat|tasarla|"
    "dibuat|membuat|dikembang|mengembang|dilatih|melatih|dicipta|mencipta|pembuat|pengembang|tạo$|phát$|huấn$|xây$",
    "name": "names?$|name'?s$|named$|called$|calls?$|known$|nom$|nome$|nombre$|heiß|heisse$|nenn|llam[oae]|chiam|cham[oae]|m'appel|appel|зовут|имя|зовите|назыв|이름|불러|부르|اسم|नाम|कहते|कहिए|ad(?:ım|ı)$|isim|diyebilir|derler|nama|panggil|memanggil|tên$|gọi$|identify|introduce|speaking|talking|chatting",
    "base": "bas(?:ed|e|is|ado|ada|é|ée|ato|ata|iert|iere)$|foundation|backbone|underlying|underneath|fine-?tun|finetun|deriv|distil|merge|powered$|runs?$|running$|weights$|basis$|grundlage|grundmodell|basismodell|feinabstimm|beruh|läuft$|"
    "repos|affin|tourne|rod[oa]|roda$|ajust|afin|adapt|gira$|corre$|funcion|funzion|основ|базе|дообуч|기반|바탕|베이스|미세|مبني|قائم|استند|اعتمد|اساس|आधार|taban|temel|üzerin|altyapı|berbasis|didasar|dasar|setel|dựa$|nền$|tinh$|top$|engine$|hood$",
    "not": "not$|n't$|isn't|wasn't|don't|didn't|never$|no$|nor$|neither|none|nicht|kein|weder|nein|niemals|ne$|pas$|aucun|jamais|ni$|não|nem$|nunca|nada|non$|né$|nessun|не$|нет|ни$|никак|вовсе|아니|아닙|않|없|لست|ليس|لا$|لم$|नहीं|न$|değil|hayır|yok$|bukan|tidak|không$|phải$|mistake|wrong",
    "like": "like$|unlike|than$|compar|similar|contrary|whereas|while$|instead|wie$|anders|gegensatz|ähnl|vergleich|während|als$|comme$|contrairement|ressembl|como$|diferen|parec|ao$|contrário|differenza|simil|somigl|вроде|отличие|похож|чем$|비슷|달리|처럼|같은|보다|مثل|عكس|بخلاف|يشبه|تشبه|जैस|तरह|विपरीत|तुलना|gibi|benze|farklı|seperti|berbeda|mirip|giống|khác|như$|if$|wenn$|wäre|si$|se$|fosse|если|would",
    "say": "said$|says?$|saying|wrote|writes?$|ask|answer|sentence|phrase|reads?$|quote|story|sagte|schreib|frag|satz|dit$|écri|demand|phrase|dijo|escrib|pregunt|frase|disse|escreve|pergunt|scri|chied|сказал|пиш|спраш|фраз|말했|물으|문장|قال|كتب|تسال|جمله|كहा|कहा|लिखा|पूछ|dedi|yazm|soru|cümle|berkata|menulis|bertanya|kalimat|nói$|viết$|hỏi$|câu$",
    "you": "you$|your$|yours$|you're|du$|dein|sie$|ihr|tu$|vous$|votre|usted|tú$|você|te$|lei$|вы$|ты$|вас$|당신|너는|انت|आप|तुम|sen$|siz|anda$|kamu$|bạn$|user|people|some$|many$",
    "doubt": "think$|believe$|guess|suppos|suspect|maybe$|perhaps$|probabl|possibl|presum|might$|may$|could$|seem|appear|apparently|reportedly|allegedly|likely$|sure$|certain|unsure|wager|hunch|correctly$|mistaken$|knowledge$|remember$|"
    "glaub|denke$|vermut|vielleicht|wahrscheinlich|möglich|könnte|soweit$|angeblich|anscheinend|sicher$|wohl$|womöglich|crois$|pense$|suppose|peut-être|probablement|apparemment|certain$|sûr$|connaissance|semble|creo$|pienso|supong|quizá|tal$|vez$|posible|seguro$|parece|diría|"
    "acho$|creio|acredit|suponho|talvez|provável|provavel|possív|certeza|saiba$|credo$|penso$|forse$|magari|probabil|possibil|sicuro|sembra|наверн|возможн|вероятн|думаю|кажет|полага|может$|видимо|увер|известно|아마|어쩌면|혹시|확실|알기로|듯|것$|اعتقد|اظن|ربما|لعل|يبدو|الارجح|متاكد|علم|شاید|शायद|संभव|लगता|ख्याल|पक्का|sanırım|galiba|belki|muhtemel|herhalde|bildiğim|emin|tahmin|olabilir|"
    "mungkin|sepertinya|kira$|rasa$|barangkali|tampaknya|setahu|yakin|tebakan|lẽ$|thể$|nghĩ$|hình$|chắc$|đoán$|biết$",
    "assistant": "assist|language$|model|chatbot|bot$|ai$|program|software|algorithm|system|tool$|helper|machine|intelligen|sprachmodell|ki(?:-|$)|computerprogramm|helfer|assistent|asistent|logiciel|langage|ia$|robot|lenguaje|inteligencia|ayudante|linguagem|ajudante|linguistic|softw|ассистент|помощник|модел|программ|интеллект|ии$|нейросет|бот$|어시스턴트|비서|언어|모델|인공지능|챗봇|프로그램|소프트|مساعد|نموذج|ذكاء|برنامج|सहायक|मॉडल|प्रोग्राम|एआई|asistan|yapay|yazılım|asisten|perangkat|kecerdasan|trợ$|mô$|trí$|phần$",
    "tell": "tell|reserv|riserv|disponib|gizli|недоступ|비공개|سري|anonym|مسموح|rahasia|reveal|share|disclos|discuss|divulg|confidential|secret|private|know$|information|detail|comment|allowed|permitted|able$|unable|can't|cannot|won't|rather$|prefer|sorry|unfortunately|sagen$|verrat|preisgeb|mitteil|vertraulich|geheim|weiß$|kann$|darf$|möchte|leider|dire$|révél|partag|confident|sais$|peux$|peut$|désolé|préfèr|decir|revel|compart|sé$|puedo|siento|prefier|dizer|sei$|posso|desculp|prefiro|dirlo|rivel|condivid|preferisc|spiace|сказа|раскры|дели|знаю|могу|нельзя|извин|предпоч|말씀|알려|밝히|모르|모릅|공개|죄송|비밀|اقول|الافصاح|مشاركه|اعرف|استطيع|يمكن|عذرا|افضل|सकता|बता|साझा|पता|माफ़|क्षमा|गोपनीय|söyle|paylaş|açıkla|bilmiyor|üzgün|izin|mengatakan|membagikan|mengungkap|tahu$|bisa$|dapat$|boleh$|maaf|rahasia|nói$|tiết$|chia$|biết$|lỗi$|mật$",
    "company": "compan(?:y|ies)|firm|start-?up|lab(?:s|or)?$|laborator|institut|team$|group$|agency|firma$|unternehmen|gesellschaft|gruppe|entreprise|société|équipe|groupe|empresa|equip[oe]|grupo|azienda|società|squadra|gruppo|compañía|laboratório|компани|фирм|лаборатор|команд|групп|институт|회사|연구소|기업|شركة|شركه|مختبر|مؤسسه|فريق|कंपनी|टीम|प्रयोगशाला|संस्थ|şirket|firma|laboratuvar|ekib|enstitü|perusahaan|laboratorium|tim$|công$|hãng$|nhóm$",
    "there": "city$|town$|capital$|moon|star$|sign$|zodiac|river|animal|mountain|neighbo|stadt$|tier|nachbar|ville|animal|voisin|ciudad|vecin|cidade|vizinh|città|vicin|город|сосед|도시|이웃|동물|مدينه|جار|शहर|पड़ोसी|şehir|komşu|kota|tetangga|thành$|xóm$",
}
_CHARACTERS: Final[dict[str, str]] = {
    "make": "开发|研发|训练|创造|创建|打造|推出|发布|制作|出品|做出来|做的|自研|開発|訓練|作ら|作り|作っ|公開|提供|育て|生ま",
    "name": "名字|名叫|我叫|名为|叫做|称呼|叫我|名前|申し|呼ん|呼ば|といい|という名",
    "base": "基于|基础|底座|底层|微调|基座|蒸馏|改造|ベース|土台|基盤|微調整|もとに|構築|上で動",
    "not": "不是|并非|没有|不对|不属|既不|而非|ではな|ではあり|ません|ないです|じゃな|違い",
    "like": "不同|类似|相似|一样|比较|像|如果|不像|より|違って|異なり|似て|ような|もし|比べ",
    "say": "写道|说|问|句|文字|言い|言っ|書か|という文|質問",
    "doubt": "可能|大概|也许|或许|好像|应该|觉得|猜|据我所知|不确定|没记错|たぶん|おそらく|かもしれ|思い|でしょう|はず|らしい|ようで|知る限り",
    "assistant": "助手|模型|语言模型|人工智能|程序|软件|机器人|大模型|アシスタント|モデル|言語モデル|人工知能|プログラム|チャットボット|ソフトウェア",
    "tell": "不能|无法|不便|透露|保密|告诉|不知道|不清楚|抱歉|对不起|言えません|お答え|わかりません|知りません|公開できません|申し訳|すみません|秘密|お伝え|非公開",
    "you": "你|您|あなた|お使い",
    "company": "公司|会社|企业|企業|团队|实验室|研究院|研究所|チーム",
    "there": "星座|座|动物|動物|邻居|隣",
}
_MATCH: Final = {concept: re.compile(f"(?:{stems})") for concept, stems in _STEMS.items()}
_IN_A_ROW: Final = re.compile("|".join(f"(?P<{concept}>{words})" for concept, words in _CHARACTERS.items()))


#: The order of the bits of a set of concepts.
CONCEPTS: Final = tuple(_STEMS)


def concepts_of(token: str) -> int:
    """The concepts of one word, a bit each."""
    if len(token) < 2:
        return 0
    return sum(1 << bit for bit, concept in enumerate(CONCEPTS) if _MATCH[concept].match(token))


def in_a_row(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """The concepts, as bits, of characters in a row, with the place of the first."""
    text = "".join([t if len(t) == 1 else " " for t in tokens])
    return [] if text.isascii() else [(1 << CONCEPTS.index(str(m.lastgroup)), m.start()) for m in _IN_A_ROW.finditer(text)]
