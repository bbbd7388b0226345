"""LoRAs taught from pictures: reads them, learns in micro-steps, saves as it goes; knows no queue and no Discord."""
