"""English function words: the closed classes that carry grammar more than meaning. Lower case."""

ARTICLES = "a an the"
PRONOUNS = (
    "i me my mine myself you your yours yourself yourselves he him his himself she her hers herself it its itself we us our"
    " ours ourselves they them their theirs themselves this that these those who whom whose which what one"
)
AUXILIARIES = (
    "am is are was were be been being do does did doing done have has had having can could may might must shall should"
    " will would"
)
PREPOSITIONS = (
    "about above across after against along among around as at before behind below beneath beside between beyond by down"
    " during except for from in inside into like near of off on onto out over past per since than through to toward"
    " towards under until up upon via with within without"
)
CONJUNCTIONS = "and but or nor so yet if because although though unless while whereas whether when where why how"
OTHERS = "not no all any both each either every few more most much neither none only other own same some such too very"
OTHERS += " just also then there here again once further now ever never always"

STOP_WORDS = frozenset(" ".join((ARTICLES, PRONOUNS, AUXILIARIES, PREPOSITIONS, CONJUNCTIONS, OTHERS)).split())
