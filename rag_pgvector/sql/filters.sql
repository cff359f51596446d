-- Whether metadata satisfy a filter in the operator language of docs/filters.md, for people in psql. The semantics are
-- those of rag_pgvector.filters; a malformed filter is an error (22023), whatever the row, and never "no filter".
CREATE OR REPLACE FUNCTION rag.metadata_matches(metadata jsonb, filter jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF filter IS NULL THEN
        RAISE EXCEPTION 'the filter is NULL' USING ERRCODE = '22023', HINT = 'Pass ''{}'' for no filter.';
    END IF;
    RETURN filter = '{}' OR rag.all_conditions_match(metadata, filter, 1);
END
$$;

-- The body of metadata_matches: fields and $and, $or, $not, all of which must hold. Called with a safe search_path.
CREATE OR REPLACE FUNCTION rag.all_conditions_match(metadata jsonb, filter jsonb, level integer) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    pairs jsonb;
    key text;
    logical text;
    operand jsonb;
    value jsonb;
    step text;
    part boolean;
    matched boolean := true;
BEGIN
    IF level > 100 THEN
        RAISE EXCEPTION 'the filter is nested deeper than 100 levels' USING ERRCODE = '22023';
    END IF;
    IF jsonb_typeof(filter) <> 'object' OR filter = '{}' THEN
        RAISE EXCEPTION '% stands where a condition such as {"year": 2020} belongs', left(filter::text, 80)
            USING ERRCODE = '22023';
    END IF;
    -- No part is skipped, whatever the others said: a malformed one is an error for every row.
    -- keyvalue() and not jsonb_each: a loop over a query costs 5 µs a row.
    pairs := jsonb_path_query_array(filter, '$.keyvalue()');
    FOR i IN 0 .. jsonb_array_length(pairs) - 1 LOOP
        key := pairs -> i ->> 'key';
        operand := pairs -> i -> 'value';
        IF left(key, 1) = '$' THEN
            logical := lower(key COLLATE "C");
            IF logical NOT IN ('$and', '$or', '$not') THEN
                RAISE EXCEPTION 'unknown operator % where a field belongs', left(key, 80)
                    USING ERRCODE = '22023', HINT = 'Use $and, $or, $not or a field.';
            END IF;
            IF logical = '$not' AND jsonb_typeof(operand) = 'object' THEN
                operand := jsonb_build_array(operand);
            ELSIF jsonb_typeof(operand) <> 'array' OR operand = '[]' THEN
                RAISE EXCEPTION '% takes a list of conditions that is not empty, not %', key, left(operand::text, 80)
                    USING ERRCODE = '22023';
            END IF;
            part := logical <> '$or';
            FOR j IN 0 .. jsonb_array_length(operand) - 1 LOOP
                IF logical = '$or' THEN
                    part := rag.all_conditions_match(metadata, operand -> j, level + 1) OR part;
                ELSE
                    part := rag.all_conditions_match(metadata, operand -> j, level + 1) = (logical = '$and') AND part;
                END IF;
            END LOOP;
        ELSE
            value := metadata;
            IF strpos(key, '.') = 0 AND key <> '' THEN
                value := value -> key;
            ELSE -- a.b is the key b inside a, a\.b the key "a.b"; -> with a text goes through objects, never into lists
                FOREACH step IN ARRAY regexp_split_to_array(key, E'(?<!\\\\)\\.') LOOP
                    IF step = '' THEN
                        RAISE EXCEPTION 'the key "%" has an empty part', left(key, 80)
                            USING ERRCODE = '22023', HINT = 'Write a.b for the key b inside a.';
                    END IF;
                    value := value -> replace(step, E'\\.', '.');
                END LOOP;
            END IF;
            IF jsonb_typeof(operand) = 'object' THEN
                part := rag.value_matches(value, operand, left(key, 80), level);
            ELSE
                part := coalesce(value, 'null') = operand;
            END IF;
        END IF;
        matched := matched AND part;
    END LOOP;
    RETURN matched;
END
$$;

-- Whether one value (NULL: the key is missing) satisfies operators, all of which must hold.
CREATE OR REPLACE FUNCTION rag.value_matches(value jsonb, operators jsonb, key text, level integer) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    pairs jsonb;
    operator text;
    operand jsonb;
    kind text := coalesce(jsonb_typeof(value), 'missing');
    given text;
    bare text;
    part boolean;
    matched boolean := true;
BEGIN
    IF operators = '{}' THEN
        RAISE EXCEPTION '%: an empty {} is no condition', key
            USING ERRCODE = '22023', HINT = 'Write {"$eq": {}} to compare with it.';
    END IF;
    pairs := jsonb_path_query_array(operators, '$.keyvalue()');
    FOR i IN 0 .. jsonb_array_length(pairs) - 1 LOOP
        operator := pairs -> i ->> 'key';
        operand := pairs -> i -> 'value';
        given := jsonb_typeof(operand);
        CASE
            WHEN operator IN ('$eq', '$ne') THEN
                part := (coalesce(value, 'null') = operand) = (operator = '$eq');
            WHEN operator IN ('$gt', '$gte', '$lt', '$lte') THEN
                IF given NOT IN ('number', 'string') THEN
                    RAISE EXCEPTION '% %: % has no order', key, operator, left(operand::text, 80)
                        USING ERRCODE = '22023', HINT = 'Use a number or a text.';
                END IF;
                part := kind = given AND CASE operator
                    WHEN '$gt' THEN rag.value_order(value, operand) > 0
                    WHEN '$gte' THEN rag.value_order(value, operand) >= 0
                    WHEN '$lt' THEN rag.value_order(value, operand) < 0
                    ELSE rag.value_order(value, operand) <= 0 END;
            WHEN operator = '$between' THEN
                IF given <> 'array' OR jsonb_array_length(CASE given WHEN 'array' THEN operand ELSE '[]' END) <> 2 THEN
                    RAISE EXCEPTION '% $between takes a list of two values, not %', key, left(operand::text, 80)
                        USING ERRCODE = '22023';
                END IF;
                given := jsonb_typeof(operand -> 0);
                IF given NOT IN ('number', 'string') OR given <> jsonb_typeof(operand -> 1) THEN
                    RAISE EXCEPTION '% $between takes two numbers or two texts, not %', key, left(operand::text, 80)
                        USING ERRCODE = '22023';
                END IF;
                part := kind = given AND CASE WHEN kind = given THEN
                    rag.value_order(value, operand -> 0) >= 0 AND rag.value_order(value, operand -> 1) <= 0 END;
            WHEN operator IN ('$in', '$nin', '$any', '$all') THEN
                IF given <> 'array' OR jsonb_path_exists(
                    operand, 'strict $[*] ? (@.type() == "array" || @.type() == "object")', '{}', true
                ) THEN
                    RAISE EXCEPTION '% % takes a list of single values, not %', key, operator, left(operand::text, 80)
                        USING ERRCODE = '22023';
                END IF;
                part := CASE operator
                    WHEN '$all' THEN kind = 'array' AND value @> operand
                    WHEN '$any' THEN kind = 'array' AND EXISTS (
                        SELECT FROM jsonb_array_elements(operand) AS a(item) WHERE value @> a.item)
                    ELSE (kind NOT IN ('array', 'object') AND operand @> coalesce(value, 'null')) = (operator = '$in') END;
            WHEN operator IN ('$like', '$ilike') THEN
                bare := operand #>> '{}';
                IF given <> 'string' THEN
                    RAISE EXCEPTION '% % takes a text pattern, not %', key, operator, left(operand::text, 80)
                        USING ERRCODE = '22023';
                ELSIF (length(bare) - length(rtrim(bare, E'\\'))) % 2 = 1 THEN
                    RAISE EXCEPTION '% %: the pattern % ends in an escape', key, operator, left(bare, 80)
                        USING ERRCODE = '22023', HINT = 'Double the backslash.';
                ELSIF length(bare) - length(replace(bare, '%', '')) > 1000 THEN
                    RAISE EXCEPTION '% %: the pattern has more than 1000 wildcards', key, operator USING ERRCODE = '22023';
                END IF;
                part := kind = 'string' AND CASE operator
                    WHEN '$like' THEN (value #>> '{}') LIKE bare ELSE (value #>> '{}') ILIKE bare END;
            WHEN operator = '$exists' THEN
                IF given <> 'boolean' THEN
                    RAISE EXCEPTION '% $exists takes true or false, not %', key, left(operand::text, 80)
                        USING ERRCODE = '22023';
                END IF;
                part := (value IS NOT NULL) = (operand = 'true');
            WHEN lower(operator COLLATE "C") = '$not' THEN
                IF given <> 'object' THEN
                    RAISE EXCEPTION '% $not takes operators such as {"$gt": 5}, not %', key, left(operand::text, 80)
                        USING ERRCODE = '22023', HINT = 'Or use $ne.';
                ELSIF level = 100 THEN
                    RAISE EXCEPTION 'the filter is nested deeper than 100 levels' USING ERRCODE = '22023';
                END IF;
                part := NOT rag.value_matches(value, operand, key, level + 1);
            ELSE
                RAISE EXCEPTION '%: unknown operator "%"', key, left(operator, 80)
                    USING ERRCODE = '22023', HINT = 'For a key inside of it write a dotted key.';
        END CASE;
        matched := matched AND part;
    END LOOP;
    RETURN matched;
END
$$;

-- The order of two numbers or of two texts (by code point): negative, 0 or positive.
CREATE OR REPLACE FUNCTION rag.value_order(a jsonb, b jsonb) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN jsonb_typeof(a) = 'number' THEN (a > b)::integer - (a < b)::integer
                ELSE ((a #>> '{}') COLLATE "C" > (b #>> '{}'))::integer - ((a #>> '{}') COLLATE "C" < (b #>> '{}'))::integer END
$$;
