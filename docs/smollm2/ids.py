"""Four rows of 128 token ids from the first texts that are that long: ids.py MODEL TEXTS.jsonl > ids.json"""
import json, os, sys

from transformers import AutoTokenizer

place, options = sys.argv[1], {}
if place.endswith(".gguf"):
    place, options = os.path.dirname(place) or ".", {"gguf_file": os.path.basename(place)}
tokenizer = AutoTokenizer.from_pretrained(place, **options)
texts = (json.loads(line)["text"] for line in open(sys.argv[2]))
rows = (tokenizer(text, add_special_tokens=False)["input_ids"][:128] for text in texts)
print(json.dumps([row for row in rows if len(row) == 128][:4]))
