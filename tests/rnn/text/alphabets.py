"""Texts in several alphabets."""

FRENCH = "Où est l'œuvre ? « Là-bas, à Noël… », répondit Zoë."
GREEK = "Μῆνιν ἄειδε θεὰ Πηληϊάδεω Ἀχιλῆος"
CHINESE = "學而時習之,不亦說乎?"
EMOJI = "👩‍🔬🏳️‍🌈 e\u0301 \U0010ffff"
