"""What the outbox asks its file: the rows of `outbox_schema`, and in which order they leave."""

# The oldest waiting row of each fingerprint: a resolve never overtakes its firing, nor one that was refused for good.
_HEADS = """
SELECT id, key, tenant, name, state, grouped, alike FROM deliveries AS d
WHERE receiver = ?1 AND outcome = 'waiting' AND NOT EXISTS (
    SELECT 1 FROM deliveries AS e
    WHERE e.receiver = ?1 AND e.outcome IN ('waiting', 'dead') AND e.fingerprint = d.fingerprint AND e.id < d.id
    AND (e.outcome = 'waiting' OR (e.state = 'firing' AND e.life = d.life)))
"""

# What was tried before lets others go first: one change that a receiver cannot take must not hold up the rest.
# The first of a group goes at once with those beside it; while the receiver was told of its like lately, others wait.
_TOLD_LATELY = """
SELECT 1 FROM deliveries AS e WHERE e.receiver = ?1 AND e.alike = d.alike AND e.state = d.state
AND e.outcome = 'delivered' AND e.done_at > ?2 AND e.done_at <= ?3
"""
_IS_FIRST = f"(queued_at <= ?4 AND NOT EXISTS ({_TOLD_LATELY}))"
_IS_DUE = f"(grouped <> '' OR queued_at <= ?2 OR queued_at > ?3 OR {_IS_FIRST})"
TURN = f"""{_HEADS} AND {_IS_DUE} ORDER BY tries, id LIMIT 1"""

ALIKE = f"""{_HEADS} AND grouped = '' AND tenant = ?2 AND alike = ?3 AND state = ?4 ORDER BY id LIMIT ?5"""

MEMBERS = """
SELECT id, event, trace FROM deliveries WHERE receiver = ? AND outcome = 'waiting' AND grouped = ? ORDER BY id
"""

QUEUE = """
INSERT OR IGNORE INTO deliveries
    (receiver, key, fingerprint, tenant, name, state, event, trace, queued_at, life, alike, repeat_s)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

# The log may hold a change twice: an older one never takes the place of a newer one.
LIVE = """
INSERT INTO living VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE
SET event = ?2, started = ?3, ended = ?4, state = ?5, escalate_at = CASE WHEN ?5 = 'stale' THEN escalate_at ELSE ?6 END
WHERE (?3, ?4) >= (started, ended)
"""

TOLD = "SELECT DISTINCT receiver FROM deliveries WHERE fingerprint = ? AND life = ? AND state = 'firing'"

# A firing that was refused for good and whose life is over was never told: the next life takes its place.
SUPERSEDE_HELD = """
UPDATE deliveries SET outcome = 'superseded', done_at = ?4 WHERE fingerprint = ?1 AND receiver = ?3 AND life < ?2
AND outcome = 'waiting' AND EXISTS (
    SELECT 1 FROM deliveries AS e WHERE e.receiver = ?3 AND e.fingerprint = ?1 AND e.life = deliveries.life
    AND e.outcome = 'dead' AND e.state = 'firing')
"""
SUPERSEDE = """
UPDATE deliveries SET outcome = 'superseded', done_at = ?4 WHERE fingerprint = ?1 AND receiver = ?3 AND life < ?2
AND outcome = 'dead' AND state = 'firing'
"""

LIVING = """
SELECT event FROM living AS l WHERE (ended = 0 OR ended > ?1) AND (?2 = '' OR (
    EXISTS (SELECT 1 FROM deliveries AS d WHERE d.fingerprint = l.fingerprint AND d.life = l.started
        AND d.receiver = ?2 AND d.state = 'firing' AND d.outcome = 'delivered')
    AND NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.fingerprint = l.fingerprint
        AND d.receiver = ?2 AND d.outcome = 'waiting')))
"""

FORGET = """
DELETE FROM deliveries WHERE outcome <> 'waiting' AND done_at < ? AND NOT EXISTS (
    SELECT 1 FROM living AS l WHERE l.fingerprint = deliveries.fingerprint AND l.started = life AND l.ended = 0)
AND NOT EXISTS (
    SELECT 1 FROM deliveries AS e WHERE e.fingerprint = deliveries.fingerprint AND e.life = deliveries.life
    AND e.receiver = deliveries.receiver AND e.outcome = 'waiting')
"""

# Only what fires is repeated; a row that was itself a repetition names the next one.
REPEAT_LATER = """
INSERT OR REPLACE INTO repeats
SELECT receiver, fingerprint, life, ?1 + CAST(repeat_s * 1000 AS INTEGER) FROM deliveries
WHERE id = ?2 AND state = 'firing' AND repeat_s > 0
"""

REPEATS_DUE = """
SELECT d.id, r.receiver || char(10) || r.fingerprint FROM repeats AS r
JOIN living AS l ON l.fingerprint = r.fingerprint AND l.started = r.life AND l.ended = 0 AND l.state IN ('firing', 'stale')
JOIN deliveries AS d ON d.id = (SELECT max(id) FROM deliveries AS e WHERE e.fingerprint = r.fingerprint AND e.life = r.life
    AND e.receiver = r.receiver AND e.state = 'firing')
WHERE r.at <= ?
"""

REPEAT = """
INSERT OR IGNORE INTO deliveries
    (receiver, key, fingerprint, tenant, name, state, event, trace, queued_at, life, alike, repeat_s)
SELECT receiver, fingerprint || ':' || life || ?2, fingerprint, tenant, name, state, event, '', ?3, life, alike, repeat_s
FROM deliveries WHERE id = ?1
"""
