__version__ = "0.1.0"

from .guard import guard_torchaudio # before anything imports dac, peft or transformers
guard_torchaudio()
