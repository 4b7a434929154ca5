"""The prompt's tokenizer: byte-pair pieces of the captions' words, bytes for everything else, in Gemma's file format."""

import json
import random

import data

SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_image>", "<end_of_image>", "<image_soft_token>",
           "<start_of_turn>", "<end_of_turn>")
EXTRA = ("from the left side to of in front a an the it is and shape rolls drifts flies across towards toward upwards "
         "downwards leftwards rightwards diagonally slow fast quick big small large tiny camera video moving")


class PromptTokenizer:
    def __init__(self, file):
        from tokenizers import Tokenizer

        self.file = file
        self.tokenizer = Tokenizer.from_str(json.dumps(file))
        self.size = len(file["model"]["vocab"])
        self.settings = {"add_bos_token": True, "add_eos_token": False, "bos_token": "<bos>", "eos_token": "<eos>",
                         "pad_token": "<pad>", "unk_token": "<unk>", "tokenizer_class": "GemmaTokenizer",
                         "model_max_length": 131072, "padding_side": "left"}

    def __call__(self, prompt):
        return self.tokenizer.encode(prompt.strip()).ids

    @classmethod
    def read(cls, path):
        return cls(json.loads(open(path).read()))


def words():
    """Every word of the captions, as it stands after a space, and some more that a person may write."""
    found = set()
    for seed in range(4000):
        found |= set(data.draw(seed).caption.rstrip(".").split()[1:])
    return sorted(found | set(EXTRA.split()))


def build():
    """Merges build each word from its letters, left to right; no merge crosses a space."""
    vocabulary = {name: i for i, name in enumerate(SPECIAL)}
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    for letter in "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?'-":
        vocabulary[letter] = len(vocabulary)
    merges, seen = [], set()
    everything = words()
    for word in everything:
        piece = "▁"
        for letter in word:
            if piece + letter not in seen:
                seen.add(piece + letter)
                merges.append((piece, letter))
            piece += letter
    for piece, letter in merges:
        vocabulary.setdefault(piece + letter, len(vocabulary))
    special = [{"id": i, "content": name, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                "special": True} for i, name in enumerate(SPECIAL)]
    bos, a, b = {"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, None
    return PromptTokenizer({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        "post_processor": {"type": "TemplateProcessing", "single": [bos, a],
                           "pair": [bos, a, {"SpecialToken": {"id": "<bos>", "type_id": 1}},
                                    {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"<bos>": {"id": "<bos>", "ids": [2], "tokens": ["<bos>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": vocabulary, "merges": [list(m) for m in merges]},
    })


def vary(caption, rng):
    """The caption, now and then without its full stop or its capital."""
    if rng.random() < 0.2:
        caption = caption.rstrip(".")
    if rng.random() < 0.2:
        caption = caption[0].lower() + caption[1:]
    return caption


if __name__ == "__main__":
    tokenizer = build()
    caption = data.draw(random.randrange(1000)).caption
    print(tokenizer.size, caption, tokenizer.tokenizer.encode(caption).tokens)
