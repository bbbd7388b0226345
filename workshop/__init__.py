"""Programs that measure, attack and teach Easel; no running bot loads them."""
