"""Which containers are opened, and by which suffixes their files are found in folders.

FFmpeg may open only these: others (playlists, scripts) can refer to further files and addresses.
"""

CONTAINERS = {  # FFmpeg's name of each container → suffixes
    "wav": (".wav", ".wave", ".bwf", ".rf64"),
    "flac": (".flac",),
    "ogg": (".ogg", ".oga", ".opus", ".spx", ".ogv"),
    "mp3": (".mp3", ".mp2", ".mpga"),
    "mov": (
        ".m4a", ".m4b", ".m4r", ".m4p", ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3gpp", ".3g2",
        ".f4a", ".f4v",
    ),
    "aac": (".aac", ".adts"),
    "matroska": (".mkv", ".mka", ".webm", ".weba"),
    "asf": (".asf", ".wma", ".wmv"),
    "amr": (".amr", ".awb"),
    "aiff": (".aif", ".aiff", ".aifc"),
    "au": (".au", ".snd"),
    "caf": (".caf",),
    "w64": (".w64",),
    "nistsphere": (".sph", ".nist", ".wv1", ".wv2"),
    "avi": (".avi",),
    "mpegts": (".ts", ".mts", ".m2ts"),
    "mpeg": (".mpg", ".mpeg", ".vob"),
    "flv": (".flv",),
    "ac3": (".ac3",),
    "eac3": (".eac3", ".ec3"),
    "dts": (".dts",),
    "tta": (".tta",),
    "wv": (".wv",),
    "ape": (".ape",),
    "mpc": (".mpc",),
    "mpc8": (),
    "tak": (".tak",),
    "dsf": (".dsf",),
    "iff": (".dff", ".8svx", ".svx"),
    "rm": (".ra", ".rm", ".rmvb"),
    "gsm": (".gsm",),
    "voc": (".voc",),
    "ircam": (".sf", ".ircam"),
}  # fmt: skip
AUDIO_SUFFIXES = frozenset(suffix for suffixes in CONTAINERS.values() for suffix in suffixes)
EXPECTED = "expected an audio file such as WAV, FLAC, Ogg, MP3, m4a or webm"
