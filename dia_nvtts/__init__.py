__version__ = "0.1.0"

from .guard import watch_torchaudio # before anything imports dac, peft or transformers
watch_torchaudio()
