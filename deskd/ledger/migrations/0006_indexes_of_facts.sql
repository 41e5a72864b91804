-- An order's facts among millions (`deskctl why`), and all facts of one kind (`deskctl events --event`). Facts have no
-- column of their order: the index computes it. The query must spell the expression as it stands here.
CREATE INDEX facts_by_order ON facts
    (coalesce(json_extract(body, '$.client_order_id'), json_extract(body, '$.request.client_order_id')));
CREATE INDEX facts_by_kind ON facts (kind);
