"""Facts in, sentences out: the only home of words for people on the bot's side. Knows no Discord, no store, no engine.

English stands in the code and is what every catalogue translates: `gettext` and `ngettext` of a `Language`, `fixed` for a
sentence without values, placeholders by name. A language is one file, `locales/LANGUAGE/LC_MESSAGES/easel.po`, which is
read when somebody with that language comes along; what it leaves out stays English. `make catalogues` brings all of them
up to date with the code, and `pybabel init -l LANGUAGE` begins one more.
"""
