-- What the scripts of a room's recent messages share.
-- KEYS: messages (list of records, oldest first, seq rising by 1), quiet (set for a while after a change).
-- A record is its seq (8 bytes, big-endian), the length of the epoch (1 byte), the epoch, and what we need not know.
local function seq_of(record)
  return (struct.unpack('>I8', record))
end
local function epoch_of(record)
  return string.sub(record, 10, 9 + string.byte(record, 9))
end
