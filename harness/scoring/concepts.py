"""What a word near a mention is about, the same in every language: making, naming, denying, ...

A word counts by its stem; Han, Kana and Thai, which are not cut into words, by characters in a row.
The concepts let the classifier carry over to one language what it learned of a turn of phrase in
another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

#: Stems of words (a final $ ends the word).
_STEMS: Final[dict[str, str]] = {
    "make": (
        "cre(?:ó|ad[oa]s?$|ador|aron)|hizo|hicieron|fizeram|fabriq|conç|réalis|belong|owe(?:s|d)?$|"
        "cho(?:se|sen)$|picked$|taught$|gave$|genommen|gehör|entstand|weitertrain|appart|viens$|"
        "vient$|issu$|perten|vengo|salí|venho|pertenç|vien[ei]|принадлеж|отношусь|вышел|написа|"
        "вырос|взял|속합|속한|출신|소속|나왔|왔습|내놓|تنتمي|انتمي|خرجت|نشر|اخذت|تابع|रचन|yayım|"
        "yayın|üret|çıkar|çıkt|ait|kur(?:du|an)|koydu|verdi|merilis|meluncur|dibangun|membangun|"
        "milik|berasal|diciptakan|termasuk|triển$|luyện$|dựng$|lập$|thuộc$|hãng$|sinh$|nghiệm$|"
        "assembl|rais(?:ed|ing)|craft|forg(?:ed|ing)|bred$|born$|birth|parents?$|creator|"
        "founders?$|author|origin|roots?$|hail(?:s|ed)?$|stems?$|behind$|responsib|credit|work$|"
        "product|offspring|brainchild|geboren|herkunft|stecken|steckt|werk|produkt|schöpf|"
        "naissance|né$|née$|produit|œuvre|derrière|nac(?:í|ió|i$)|obra|producto|detrás|padres|nasc|"
        "produto|trás|pais$|nat[oa]$|prodotto|dietro|opera$|родил|продукт|автор|детищ|стоит|탄생|"
        "태어|제품|ولدت|منتج|نتاج|وراء|जन्म|उत्पाद|निर्माण|doğ(?:du|um)|ürün|eser|arkamda|lahir|"
        "karya|buatan|produk|sản$|phẩm$|đứng$|mad(?:e|ly)$|make|built|build|creat|develop|train|"
        "design|releas|launch|publish|invent|engineer|maker|programm|fashion|produc|owns?$|trein|"
        "cri(?:ou|ad|ar)|desenvolv|fez$|feit|projet|lan[cç]|public|construi|fabric|entwickel|"
        "entwick|gebaut|baute|gemacht|trainier|erschaff|geschaff|hersteller|veröffentlich|"
        "herausgebracht|programmier|stamm|créé|cré[ea]|développ|entraîn|conçu|concept|construit|"
        "publié|entren|desarroll|diseñ|hecho$|construy|sviluppat|addestrat|progettat|realizzat|"
        "fatto$|costruit|созда|разработ|обуч|сдела|выпусти|построи|학습|개발|만들|만든|훈련|제작|"
        "출시|공개|طور|صنع|درب|انش|ابتكر|تطوير|تدريب|बना|विकसित|प्रशिक्षित|तैयार|निर्मा|geliştir|"
        "yap(?:tı|ıl|an|ım)|eğit|yarat|tasarla|dibuat|membuat|dikembang|mengembang|dilatih|melatih|"
        "dicipta|mencipta|pembuat|pengembang|tạo$|phát$|huấn$|xây$"
    ),
    "name": (
        "christen|nickname|label|badge|dub(?:bed)?$|title|sign(?:ed|s)?$|alias|handle|moniker|"
        "refer|surnom|baptis|prénom|apod|bautiz|llámame|apelid|batiz|chamad|soprann|battezz|прозв|"
        "назов|кличк|별명|호칭|لقب|ادعي|ادعى|उपनाम|बुला|takma|lakab|julukan|sebut|biệt$|xưng$|"
        "names?$|name'?s$|named$|called$|calls?$|known$|nom$|nome$|nombre$|heiß|heisse$|nenn|"
        "llam[oae]|chiam|cham[oae]|m'appel|appel|зовут|имя|зовите|назыв|이름|불러|부르|اسم|नाम|"
        "कहते|कहिए|ad(?:ım|ı)$|isim|diyebilir|derler|nama|panggil|memanggil|tên$|gọi$|identify|"
        "introduce|speaking|talking|chatting"
    ),
    "base": (
        "inside|under$|hood$|engine|tuned$|innen|haube|intérieur|capot|adentro|dentro$|capô|cofano|"
        "внутри|капотом|안에|속에|داخلي|تحت|भीतर|अंदर|içimde|altında|dalam$|balik$|dưới$|nền$|"
        "core$|shell$|wrapper|variant|checkpoint|descend|merge[ds]?|blend|mixture|lora$|layers?$|"
        "parameters?$|kern$|gewichte|verschm|moteur|cœur|poids|fusion|mezcla|pesos|núcleo|mistura|"
        "fusão|miscela|motore|pesi$|ядр|веса|весах|смес|слиян|엔진|가중치|섞|병합|محرك|اوزان|مزيج|"
        "इंजन|मिश्रण|motor|ağırlık|karışım|mesin|bobot|campuran|trộn$|lõi$|"
        "bas(?:ed|e|is|ado|ada|é|ée|ato|ata|iert|iere)$|foundation|backbone|underlying|underneath|"
        "fine-?tun|finetun|deriv|distil|merge|powered$|runs?$|running$|weights$|basis$|grundlage|"
        "grundmodell|basismodell|feinabstimm|beruh|läuft$|repos|affin|tourne|rod[oa]|roda$|ajust|"
        "afin|adapt|gira$|corre$|funcion|funzion|основ|базе|дообуч|기반|바탕|베이스|미세|مبني|قائم|"
        "استند|اعتمد|اساس|आधार|taban|temel|üzerin|altyapı|berbasis|didasar|dasar|setel|dựa$|tinh$|"
        "top$"
    ),
    "not": (
        "confus|mix(?:ed|ing)?$|mistak|false|untrue|den(?:y|ies|ied)$|hardly|rumou?r|myth|nothing|"
        "verwechs|irr(?:t|tum)|falsch|keineswegs|niemand|nichts|confond|tromp|faux$|rien$|confund|"
        "equivoc|falso|jamás|ningun|engan|errad|nenhum|sbagli|mai$|nulla$|niente|пута|ошиб|ложь|"
        "неправд|никогда|ничего|никакой|오해|착각|거짓|무관|خطا|خطأ|مخطئ|ابدا|علاقه|गलत|कभी|कोई|"
        "yanıl|yanlış|asla|hiç|ilgi|keliru|salah|pernah|nhầm$|sai$|chưa$|not$|n't$|isn't|wasn't|"
        "don't|didn't|never$|no$|nor$|neither|none|nicht|kein|weder|nein|niemals|ne$|pas$|aucun|"
        "jamais|ni$|não|nem$|nunca|nada|non$|né$|nessun|не$|нет|ни$|никак|вовсе|아니|아닙|않|없|"
        "لست|ليس|لا$|لم$|नहीं|न$|değil|hayır|yok$|bukan|tidak|không$|phải$|mistake|wrong"
    ),
    "like": (
        "like$|unlike|than$|compar|similar|contrary|whereas|while$|instead|wie$|anders|gegensatz|"
        "ähnl|vergleich|während|als$|comme$|contrairement|ressembl|como$|diferen|parec|ao$|"
        "contrário|differenza|simil|somigl|вроде|отличие|похож|чем$|비슷|달리|처럼|같은|보다|مثل|"
        "عكس|بخلاف|يشبه|تشبه|जैस|तरह|विपरीत|तुलना|gibi|benze|farklı|seperti|berbeda|mirip|giống|"
        "khác|như$|if$|wenn$|wäre|si$|se$|fosse|если|would"
    ),
    "say": (
        "said$|says?$|saying|wrote|writes?$|ask|answer|sentence|phrase|reads?$|quote|story|sagte|"
        "schreib|frag|satz|dit$|écri|demand|dijo|escrib|pregunt|frase|disse|escreve|pergunt|scri|"
        "chied|сказал|пиш|спраш|фраз|말했|물으|문장|قال|كتب|تسال|جمله|كहा|कहा|लिखा|पूछ|dedi|yazm|"
        "soru|cümle|berkata|menulis|bertanya|kalimat|nói$|viết$|hỏi$|câu$"
    ),
    "you": (
        "you$|your$|yours$|you're|du$|dein|sie$|ihr|tu$|vous$|votre|usted|tú$|você|te$|lei$|вы$|"
        "ты$|вас$|당신|너는|انت|आप|तुम|sen$|siz|anda$|kamu$|bạn$|user|people|some$|many$"
    ),
    "doubt": (
        "confirm|verif|check|prove$|proof|prüf|bestätig|beweis|vérifi|prouv|comprob|comprueb|"
        "verific|confirmar|comprov|prov(?:ar|o)$|подтверд|провер|доказ|확인|증명|تاكيد|اتحقق|اثبات|"
        "पुष्टि|जाँच|doğrula|kanıt|konfirmasi|memastikan|membuktikan|xác$|chứng$|kiểm$|reckon|bet$|"
        "chances?$|odds|clue|signs?$|evidence|unless|wonder|imagin|somehow|supposedly|schätz|tippe|"
        "zweifel|ahn|denkbar|offenbar|dout|devin|indic|sans$|duda|apost|apuest|indici|dúvida|chut|"
        "palpit|dubb|scommett|immagin|сомне|догад|похоже|предпол|추측|짐작|모르겠|싶|تخمين|احتمال|"
        "شك|अनुमान|अंदाज|मुमकिन|şüphe|sanki|gibi$|dugaan|ragu|entah|ngờ$|phỏng$|think$|believe$|"
        "guess|suppos|suspect|maybe$|perhaps$|probabl|possibl|presum|might$|may$|could$|seem|"
        "appear|apparently|reportedly|allegedly|likely$|sure$|certain|unsure|wager|hunch|"
        "correctly$|mistaken$|knowledge$|remember$|glaub|denke$|vermut|vielleicht|wahrscheinlich|"
        "möglich|könnte|soweit$|angeblich|anscheinend|sicher$|wohl$|womöglich|crois$|pense$|"
        "suppose|peut-être|probablement|apparemment|sûr$|connaissance|semble|creo$|pienso|supong|"
        "quizá|tal$|vez$|posible|seguro$|parece|diría|acho$|creio|acredit|suponho|talvez|provável|"
        "provavel|possív|certeza|saiba$|credo$|penso$|forse$|magari|probabil|possibil|sicuro|"
        "sembra|наверн|возможн|вероятн|думаю|кажет|полага|может$|видимо|увер|известно|아마|어쩌면|"
        "혹시|확실|알기로|듯|것$|اعتقد|اظن|ربما|لعل|يبدو|الارجح|متاكد|علم|شاید|शायद|संभव|लगता|"
        "ख्याल|पक्का|sanırım|galiba|belki|muhtemel|herhalde|bildiğim|emin|tahmin|olabilir|mungkin|"
        "sepertinya|kira$|rasa$|barangkali|tampaknya|setahu|yakin|tebakan|lẽ$|thể$|nghĩ$|hình$|"
        "chắc$|đoán$|biết$"
    ),
    "assistant": (
        "robot|neural|network|data$|version|release|ассист|версия|нейро|버전|اصطناعي|اصدار|نسخه|"
        "संस्करण|sürüm|versi$|bản$|ngữ$|ngôn$|tuệ$|hệ$|assist|language$|model|chatbot|bot$|ai$|"
        "program|software|algorithm|system|tool$|helper|machine|intelligen|sprachmodell|ki(?:-|$)|"
        "computerprogramm|helfer|assistent|asistent|logiciel|langage|ia$|lenguaje|inteligencia|"
        "ayudante|linguagem|ajudante|linguistic|softw|ассистент|помощник|модел|программ|интеллект|"
        "ии$|нейросет|бот$|어시스턴트|비서|언어|모델|인공지능|챗봇|프로그램|소프트|مساعد|نموذج|"
        "ذكاء|برنامج|सहायक|मॉडल|प्रोग्राम|एआई|asistan|yapay|yazılım|asisten|perangkat|kecerdasan|"
        "trợ$|mô$|trí$|phần$"
    ),
    "tell": (
        "reveal|secret|clue|blank|comment|classified|undisclosed|hush|lips$|sealed|grave$|unknown|"
        "schweig|geheimnis|kommentar|unbekannt|tair|ignor|inconnu|secreto|callar|ignoro|desconoc|"
        "segredo|calar|desconheç|segreto|tacere|ignoto|тайн|секрет|молч|неизвест|비밀|알 수|السر|"
        "اجهل|مجهول|रहस्य|गुप्त|अज्ञात|sır$|gizem|bilinm|rahasia|misteri|bí$|kín$|tell|reserv|"
        "riserv|disponib|gizli|недоступ|비공개|سري|anonym|مسموح|share|disclos|discuss|divulg|"
        "confidential|private|know$|information|detail|allowed|permitted|able$|unable|can't|cannot|"
        "won't|rather$|prefer|sorry|unfortunately|sagen$|verrat|preisgeb|mitteil|vertraulich|"
        "geheim|weiß$|kann$|darf$|möchte|leider|dire$|révél|partag|confident|sais$|peux$|peut$|"
        "désolé|préfèr|decir|revel|compart|sé$|puedo|siento|prefier|dizer|sei$|posso|desculp|"
        "prefiro|dirlo|rivel|condivid|preferisc|spiace|сказа|раскры|дели|знаю|могу|нельзя|извин|"
        "предпоч|말씀|알려|밝히|모르|모릅|공개|죄송|اقول|الافصاح|مشاركه|اعرف|استطيع|يمكن|عذرا|افضل|"
        "सकता|बता|साझा|पता|माफ़|क्षमा|गोपनीय|söyle|paylaş|açıkla|bilmiyor|üzgün|izin|mengatakan|"
        "membagikan|mengungkap|tahu$|bisa$|dapat$|boleh$|maaf|nói$|tiết$|chia$|biết$|lỗi$|mật$"
    ),
    "company": (
        "family|series|member|project|foundation|startup|stiftung|familie|famille|serie|familia|"
        "família|famiglia|fondation|fundación|fundação|fondazione|семейств|серии|фонд|студи|시리즈|"
        "재단|스타트업|연구실|عائله|سلسله|مؤسس|परिवार|संस्था|aile|seri|vakıf|keluarga|yayasan|quỹ$|"
        "viện$|dòng$|house|manufacturer|vendor|publisher|studio|university|developer|engineer|"
        "hersteller|anbieter|entwickler|universität|hause|éditeur|fabricant|développeur|université|"
        "maison|ingénieur|fabricante|desarrollador|universidad|casa$|ingenier|desenvolvedor|"
        "universidade|engenheir|produttore|sviluppator|università|ingegner|разработчик|"
        "производител|университет|инженер|개발사|개발자|대학|제조사|المطور|المهندس|جامعه|निर्माता|"
        "विश्वविद्यालय|इंजीनियर|डेवलपर|geliştirici|üretici|üniversite|mühendis|pengembang|"
        "universitas|insinyur|nhà$|kỹ$|đại$|compan(?:y|ies)|firm|start-?up|lab(?:s|or)?$|laborator|"
        "institut|team$|group$|agency|unternehmen|gesellschaft|gruppe|entreprise|société|équipe|"
        "groupe|empresa|equip[oe]|grupo|azienda|società|squadra|gruppo|compañía|laboratório|"
        "компани|фирм|лаборатор|команд|групп|институт|회사|연구소|기업|شركة|شركه|مختبر|مؤسسه|فريق|"
        "कंपनी|टीम|प्रयोगशाला|संस्थ|şirket|firma|laboratuvar|ekib|enstitü|perusahaan|laboratorium|"
        "tim$|công$|hãng$|nhóm$"
    ),
    "there": (
        "city$|town$|capital$|moon|star$|sign$|zodiac|river|animal|mountain|neighbo|stadt$|tier|"
        "nachbar|ville|voisin|ciudad|vecin|cidade|vizinh|città|vicin|город|сосед|도시|이웃|동물|"
        "مدينه|جار|शहर|पड़ोसी|şehir|komşu|kota|tetangga|thành$|xóm$"
    ),
    "serve": (
        "here$|hello$|hi$|hey$|greet|welcome|pleas(?:ed|ure)$|help(?:s|ing)?$|answer(?:s|ing)$|"
        "speak|talk|chat|dienst|hallo$|moin$|hier$|willkommen|freut|spreche|sprich|antwort|service|"
        "bonjour|salut|bienvenue|enchant|répond|parle|ici$|servir|hola$|aquí|bienvenid|encantad|"
        "hablas|hablando|responde|olá$|oi$|aqui$|prazer|servi|fala(?:ndo|r|s)?$|conversa|ciao$|"
        "salve$|piacere|qui$|parl|rispond|привет|здравств|здесь|услуг|говор|общает|отвеча|안녕|"
        "반갑|여기|말씀|대화|مرحبا|اهلا|هنا|معك|خدم|تتحدث|नमस्ते|यहाँ|सेवा|बात|merhaba|selam|"
        "burada|hizmet|konuş|yanıt|halo$|hai$|sini$|layan|melayani|bicara|chào$|đây$|phục$|chuyện"
    ),
    "news": (
        "(?:19|20)\\d\\d$|announc|unveil|launch|releas|introduc|found(?:ed|er|ers|ing)$|invest|"
        "share(?:s|holders)?$|stock|billion|million|market|chief|ceo$|president|mayor|report|"
        "article|news|acquir|bought|sued|lists?$|research|study$|paper$|scientist|ended$|"
        "vorgestellt|veröffentlich|gegründet|bericht|chef|aktie|bürgermeister|studie|annonc|lancé|"
        "fond[ée]|dirige|maire|actionn|milliard|articl|anunci|lanz|fund(?:ó|ad)|alcalde|accion|"
        "informe|lanç|fund(?:ou|ad)|prefeit|relat|ações|bilh|annunc|lanciat|fondat|sindaco|azioni|"
        "rapporto|miliard|объяв|представ|выпущ|основа|мэр|акци|отчет|отчёт|год[ау]?$|발표|출시|"
        "설립|공개했|시장|주가|년에$|اعلن|اطلق|اسس|تاسس|عام$|تقرير|سهم|घोषणा|लॉन्च|स्थाप|शेयर|में$|"
        "duyur|tanıt|kurul|yılında|hisse|belediye|mengumumkan|diluncurkan|dirilis|didirikan|saham|"
        "tahun$|walikota|mắt$|thành$|năm$|cổ$"
    ),
    "text": (
        "story|stories|novel|tale$|film|movie|book|poem|song|title|letter|line$|lines$|file|code$|"
        "config|string|prompt|screenshot|message|text|word|words$|draft|table|column|translat|"
        "character|scene|slogan|email|header|log$|label|button|page|geschichte|roman|buch|gedicht|"
        "brief|zeile|datei|wort|übersetz|figur|histoire|livre|poème|lettre|ligne|fichier|texte|"
        "mot$|mots$|tradui|personnage|historia|novela|libro|poema|carta|línea|archivo|texto|"
        "palabra|traduc|personaje|história|livro|romance|linha|arquivo|palavra|tradu[zç]|"
        "personagem|storia|romanzo|lettera|riga|testo|parola|tradu|personaggio|истори|роман|книг|"
        "стих|письм|строк|файл|текст|слов|перевод|персонаж|소설|이야기|영화|책|시$|편지|줄|파일|글|"
        "단어|번역|인물|قصه|روايه|كتاب|رساله|سطر|ملف|نص|كلمه|ترجم|कहानी|उपन्यास|किताब|कविता|पत्र|"
        "फ़ाइल|शब्द|अनुवाद|hikaye|hikâye|kitap|şiir|mektup|satır|dosya|metin|kelime|çevir|cerita|"
        "buku|puisi|surat|baris|berkas|teks|kata$|terjemah|truyện|thơ$|thư$|dòng|tệp|văn$|từ$|dịch$"
    ),
    "kin": (
        "friend|brother|sister|mother|father|son$|daughter|wife|husband|boss|teacher|colleague|"
        "neighbo|cousin|uncle|aunt|dog$|cat$|boy$|girl$|man$|woman|king|queen|captain|professor|"
        "doctor|knight|child|he$|she$|his$|her$|they$|their$|freund|bruder|schwester|mutter|vater|"
        "sohn|tochter|chefin|lehrer|kolleg|hund|katze|junge$|mädchen|könig|ritter|er$|ihm$|seine?$|"
        "ami$|amie$|frère|sœur|mère|père|fils$|fille|collègue|chien|chat$|roi$|capitaine|docteur|"
        "elle$|amig|herman|madre|padre|hij[oa]|jef[ea]|maestr|perro|gato|rey$|capitán|él$|ella$|"
        "irmã|mãe|pai$|filh|chefe|cachorro|rei$|capitão|ele$|ela$|fratello|sorella|figli|capo$|"
        "cane$|gatto|lui$|друг|брат|сестр|мать|отец|сын|дочь|учител|коллег|собак|кот$|король|"
        "капитан|он$|она$|его$|친구|형|누나|언니|동생|어머니|아버지|선생|동료|강아지|고양이|왕|"
        "صديق|اخي|اختي|امي|ابي|مدير|معلم|كلب|قط$|ملك|هو$|هي$|दोस्त|भाई|बहन|माँ|पिता|शिक्षक|कुत्ता|"
        "बिल्ली|राजा|वह$|arkadaş|kardeş|anne|baba|öğretmen|köpek|kedi|kral|kaptan|teman|kakak|adik|"
        "ibu$|ayah|guru|anjing|kucing|raja|dia$|bè$|anh$|chị$|mẹ$|bố$|thầy$|chó$|mèo$|vua$|ông$"
    ),
}
_CHARACTERS: Final[dict[str, str]] = {
    "make": (
        "名为|来自|出品|归属|属于|発表|リリース|手掛|诞生|出生|出自|背后|生まれ|誕生|手がけ|による|"
        "製|开发|研发|训练|创造|创建|打造|推出|发布|制作|做出来|做的|自研|開発|訓練|作ら|作り|作っ|"
        "公開|提供|育て|生ま"
    ),
    "name": (
        "叫作|称为|称我|芳名|承り|名乗|呼称|名字|名叫|我叫|名为|叫做|称呼|叫我|名前|申し|呼ん|呼ば|"
        "といい|という名"
    ),
    "base": (
        "混合|合并|融合|权重|マージ|混ぜ|重み|派生|基于|基础|底座|底层|微调|基座|蒸馏|改造|ベース|"
        "土台|基盤|微調整|もとに|構築|上で動"
    ),
    "not": (
        "误会|误解|弄错|搞错|绝非|无关|毫无|誤解|間違|無関係|嘘|不是|并非|没有|不对|不属|既不|而非|"
        "ではな|ではあり|ません|ないです|じゃな|違い"
    ),
    "like": "不同|类似|相似|一样|比较|像|如果|不像|より|違って|異なり|似て|ような|もし|比べ",
    "say": "写道|说|问|句|文字|言い|言っ|書か|という文|質問",
    "doubt": (
        "确认|证实|核实|確認|確か|証明|估计|多半|恐怕|不敢|大约|推测|ではないか|気がし|可能性|可能|"
        "大概|也许|或许|好像|应该|觉得|猜|据我所知|不确定|没记错|たぶん|おそらく|かもしれ|思い|"
        "でしょう|はず|らしい|ようで|知る限り"
    ),
    "assistant": (
        "助手|模型|语言模型|人工智能|程序|软件|机器人|大模型|アシスタント|モデル|言語モデル|"
        "人工知能|プログラム|チャットボット|ソフトウェア"
    ),
    "tell": (
        "秘密|机密|奉告|保留|内緒|差し控|かねます|非公開|不能|无法|不便|透露|保密|告诉|不知道|"
        "不清楚|抱歉|对不起|言えません|お答え|わかりません|知りません|公開できません|申し訳|"
        "すみません|お伝え"
    ),
    "you": "你|您|あなた|お使い",
    "company": (
        "系列|家族|シリーズ|実験室|实验|公司|会社|企业|企業|团队|实验室|研究院|研究所|チーム"
    ),
    "serve": (
        "您好|你好|为您|为你|服务|请问|高兴|在此|こんにちは|はじめまして|ございます|どうぞ|お話し|"
        "お手伝い"
    ),
    "news": (
        "年发布|发布了|推出了|宣布|成立|创立|融资|股价|市长|报道|据悉|年に|発表|設立|株価|市長|報道"
    ),
    "text": (
        "故事|小说|电影|这本书|诗|这封信|代码|文件|提示|单词|翻译|角色|这句|物語|小説|映画|手紙|"
        "行目|単語|訳|登場|という文|プロンプト"
    ),
    "kin": (
        "朋友|哥哥|姐姐|弟弟|妹妹|妈妈|爸爸|老师|同事|老板|他|她|友人|友達|兄|姉|弟|妹|母|父|先生|"
        "同僚|彼"
    ),
    "there": "星座|座|动物|動物|邻居|隣",
}
_MATCH: Final = {concept: re.compile(f"(?:{stems})") for concept, stems in _STEMS.items()}
_JOINED_ON: Final = re.compile("^[وف]?(?:ال|بال|كال|لل|[بلك])?(?=[\u0620-\u06ff]{3})")
_IN_A_ROW: Final = re.compile(
    "|".join(f"(?P<{concept}>{words})" for concept, words in _CHARACTERS.items())
)


#: The order of the bits of a set of concepts.
CONCEPTS: Final = tuple(_STEMS)


def concepts_of(token: str) -> int:
    """The concepts of one word, a bit each."""
    if len(token) < 2:
        return 0
    bare = _JOINED_ON.sub("", token)  # Arabic joins "and", "in", "for" and "the" to a word
    return sum(
        1 << bit
        for bit, concept in enumerate(CONCEPTS)
        if _MATCH[concept].match(token) or (bare != token and _MATCH[concept].match(bare))
    )


def in_a_row(tokens: Sequence[str]) -> list[tuple[int, int]]:
    """The concepts, as bits, of characters in a row, with the place of the first."""
    text = "".join([t if len(t) == 1 else " " for t in tokens])
    if text.isascii():
        return []
    return [(1 << CONCEPTS.index(str(m.lastgroup)), m.start()) for m in _IN_A_ROW.finditer(text)]
