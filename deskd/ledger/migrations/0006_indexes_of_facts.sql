-- An order's facts among millions (`deskctl why`), and all facts of one kind (`deskctl events --event`). Facts have no
-- column of their order: the index computes it, and passes over a body that is damaged: the audit names that one.
-- The query must spell the expression as it stands here.
CREATE INDEX facts_by_order ON facts
    (CASE WHEN json_valid(body)
     THEN coalesce(json_extract(body, '$.client_order_id'), json_extract(body, '$.request.client_order_id')) END);
CREATE INDEX facts_by_kind ON facts (kind);
