-- The tables of schema 2, as Permillion made them before charges went to files of their own.

CREATE TABLE backfill (source_key TEXT, from_at TIMESTAMP WITHOUT TIME ZONE, to_at TIMESTAMP WITHOUT TIME ZONE,
  done_to TIMESTAMP WITHOUT TIME ZONE);

CREATE TABLE charge (batch_id TEXT, file_number BIGINT, row_number BIGINT, "BilledCost" NUMERIC(38, 18),
  "EffectiveCost" NUMERIC(38, 18), "ListCost" NUMERIC(38, 18), "ContractedCost" NUMERIC(38, 18), "BillingCurrency"
  TEXT, "BillingPeriodStart" TIMESTAMP WITHOUT TIME ZONE, "BillingPeriodEnd" TIMESTAMP WITHOUT TIME ZONE,
  "ChargePeriodStart" TIMESTAMP WITHOUT TIME ZONE, "ChargePeriodEnd" TIMESTAMP WITHOUT TIME ZONE, "ChargeCategory"
  TEXT, "ChargeClass" TEXT, "ChargeDescription" TEXT, "ChargeFrequency" TEXT, "ProviderName" TEXT, "PublisherName"
  TEXT, "InvoiceIssuerName" TEXT, "InvoiceId" TEXT, "BillingAccountId" TEXT, "BillingAccountName" TEXT, "SubAccountId"
  TEXT, "SubAccountName" TEXT, "ServiceCategory" TEXT, "ServiceSubcategory" TEXT, "ServiceName" TEXT, "SkuId" TEXT,
  "SkuPriceId" TEXT, "SkuMeter" TEXT, "SkuPriceDetails" TEXT, "RegionId" TEXT, "ResourceId" TEXT, "ResourceName" TEXT,
  "ResourceType" TEXT, "PricingCategory" TEXT, "PricingQuantity" NUMERIC(38, 18), "PricingUnit" TEXT,
  "ConsumedQuantity" NUMERIC(38, 18), "ConsumedUnit" TEXT, "CommitmentDiscountId" TEXT, "CommitmentDiscountStatus"
  TEXT, "Tags" TEXT, extra TEXT);

CREATE TABLE device_hour (bin_start TIMESTAMP WITHOUT TIME ZONE, target_key TEXT, device_key TEXT, is_sample BOOLEAN,
  samples_count BIGINT, observed_s DOUBLE PRECISION, gap_s DOUBLE PRECISION, energy_j DOUBLE PRECISION,
  gpu_util_fraction DOUBLE PRECISION, sm_active_fraction DOUBLE PRECISION, sm_occupancy_fraction DOUBLE PRECISION,
  tensor_active_fraction DOUBLE PRECISION, dram_active_fraction DOUBLE PRECISION, memory_used_bytes DOUBLE PRECISION,
  memory_free_bytes DOUBLE PRECISION, power_w DOUBLE PRECISION, newest_at TIMESTAMP WITHOUT TIME ZONE);

CREATE TABLE device_page (target_key TEXT, device_key TEXT, scraped_at TIMESTAMP WITHOUT TIME ZONE, page TEXT, facts
  TEXT, is_sample BOOLEAN);

CREATE TABLE device_sample (target_key TEXT, device_key TEXT, scraped_at TIMESTAMP WITHOUT TIME ZONE, interval_s
  DOUBLE PRECISION, state TEXT, is_sample BOOLEAN, energy_j DOUBLE PRECISION, gpu_util_fraction DOUBLE PRECISION,
  sm_active_fraction DOUBLE PRECISION, sm_occupancy_fraction DOUBLE PRECISION, tensor_active_fraction DOUBLE
  PRECISION, dram_active_fraction DOUBLE PRECISION, memory_used_bytes DOUBLE PRECISION, memory_free_bytes DOUBLE
  PRECISION, power_w DOUBLE PRECISION);

CREATE TABLE engine_page (stream TEXT, target_key TEXT, model_key TEXT, engine_key TEXT, scraped_at TIMESTAMP WITHOUT
  TIME ZONE, started_at TIMESTAMP WITHOUT TIME ZONE, page TEXT, facts TEXT, is_sample BOOLEAN);

CREATE TABLE histogram_bounds (bounds_id TEXT, bounds TEXT);

CREATE TABLE import_batch (batch_id TEXT, segment_id TEXT, provider TEXT, billing_account TEXT, period_start TIMESTAMP
  WITHOUT TIME ZONE, period_end TIMESTAMP WITHOUT TIME ZONE, status TEXT, imported_at TIMESTAMP WITHOUT TIME ZONE,
  superseded_at TIMESTAMP WITHOUT TIME ZONE, superseded_by TEXT, file_names TEXT, format_key TEXT, digest TEXT,
  currency TEXT, rows_count BIGINT, "BilledCost" NUMERIC(38, 18), "EffectiveCost" NUMERIC(38, 18), "ListCost"
  NUMERIC(38, 18), "ContractedCost" NUMERIC(38, 18), is_sample BOOLEAN);

CREATE TABLE import_file (segment_id TEXT, file_number BIGINT, file_name TEXT, format_key TEXT, file_sha256 TEXT,
  bytes_count BIGINT, rows_count BIGINT, imported_at TIMESTAMP WITHOUT TIME ZONE, notes TEXT, receipt TEXT, is_sample
  BOOLEAN);

CREATE TABLE meta (key TEXT, value TEXT);

CREATE TABLE run_log (source_key TEXT, kind TEXT, target_key TEXT, started_at TIMESTAMP WITHOUT TIME ZONE, finished_at
  TIMESTAMP WITHOUT TIME ZONE, state TEXT, rows_count BIGINT, error TEXT, every_s DOUBLE PRECISION, is_sample
  BOOLEAN);

CREATE TABLE schema_version (version BIGINT, applied_at TIMESTAMP WITHOUT TIME ZONE);

CREATE TABLE target (target_key TEXT, source_key TEXT, deployment_key TEXT, labels TEXT, first_seen_at TIMESTAMP
  WITHOUT TIME ZONE, is_sample BOOLEAN);

CREATE TABLE usage_hour (bin_start TIMESTAMP WITHOUT TIME ZONE, target_key TEXT, model_key TEXT, engine_key TEXT,
  is_sample BOOLEAN, samples_count BIGINT, restarts_count BIGINT, observed_s DOUBLE PRECISION, gap_s DOUBLE PRECISION,
  coverage_s DOUBLE PRECISION, busy_s DOUBLE PRECISION, prompt_tokens BIGINT, computed_prompt_tokens BIGINT,
  cached_prompt_tokens BIGINT, generation_tokens BIGINT, requests_stop_count BIGINT, requests_length_count BIGINT,
  requests_abort_count BIGINT, requests_error_count BIGINT, requests_repetition_count BIGINT, finished_prompt_tokens
  BIGINT, finished_generation_tokens BIGINT, prefix_queries_tokens BIGINT, prefix_hits_tokens BIGINT,
  external_hits_tokens BIGINT, steps_count BIGINT, step_tokens BIGINT, preemptions_count BIGINT, queue_s DOUBLE
  PRECISION, prefill_s DOUBLE PRECISION, decode_s DOUBLE PRECISION, inference_s DOUBLE PRECISION, drafts_count BIGINT,
  draft_tokens BIGINT, accepted_tokens BIGINT, accepted_at_00_tokens BIGINT, accepted_at_01_tokens BIGINT,
  accepted_at_02_tokens BIGINT, accepted_at_03_tokens BIGINT, accepted_at_04_tokens BIGINT, accepted_at_05_tokens
  BIGINT, accepted_at_06_tokens BIGINT, accepted_at_07_tokens BIGINT, accepted_at_08_tokens BIGINT,
  accepted_at_09_tokens BIGINT, accepted_at_10_tokens BIGINT, accepted_at_11_tokens BIGINT, accepted_at_12_tokens
  BIGINT, accepted_at_13_tokens BIGINT, accepted_at_14_tokens BIGINT, accepted_at_15_tokens BIGINT, estimated_flop
  DOUBLE PRECISION, estimated_read_bytes DOUBLE PRECISION, estimated_write_bytes DOUBLE PRECISION, running_count
  DOUBLE PRECISION, waiting_count DOUBLE PRECISION, waiting_capacity_count DOUBLE PRECISION, waiting_deferred_count
  DOUBLE PRECISION, kv_usage_fraction DOUBLE PRECISION, awake_fraction DOUBLE PRECISION, kv_usage_p50_fraction DOUBLE
  PRECISION, kv_usage_p95_fraction DOUBLE PRECISION, kv_usage_max_fraction DOUBLE PRECISION, ttft_s_sum DOUBLE
  PRECISION, ttft_s_count BIGINT, ttft_s_bounds_id TEXT, ttft_s_bucket_00 BIGINT, ttft_s_bucket_01 BIGINT,
  ttft_s_bucket_02 BIGINT, ttft_s_bucket_03 BIGINT, ttft_s_bucket_04 BIGINT, ttft_s_bucket_05 BIGINT, ttft_s_bucket_06
  BIGINT, ttft_s_bucket_07 BIGINT, ttft_s_bucket_08 BIGINT, ttft_s_bucket_09 BIGINT, ttft_s_bucket_10 BIGINT,
  ttft_s_bucket_11 BIGINT, ttft_s_bucket_12 BIGINT, ttft_s_bucket_13 BIGINT, ttft_s_bucket_14 BIGINT, ttft_s_bucket_15
  BIGINT, ttft_s_bucket_16 BIGINT, ttft_s_bucket_17 BIGINT, ttft_s_bucket_18 BIGINT, ttft_s_bucket_19 BIGINT,
  ttft_s_bucket_20 BIGINT, ttft_s_bucket_21 BIGINT, ttft_s_bucket_22 BIGINT, ttft_s_bucket_23 BIGINT, ttft_s_bucket_24
  BIGINT, ttft_s_bucket_25 BIGINT, ttft_s_bucket_26 BIGINT, ttft_s_bucket_27 BIGINT, ttft_s_bucket_28 BIGINT,
  ttft_s_bucket_29 BIGINT, ttft_s_bucket_30 BIGINT, ttft_s_bucket_31 BIGINT, tpot_s_sum DOUBLE PRECISION, tpot_s_count
  BIGINT, tpot_s_bounds_id TEXT, tpot_s_bucket_00 BIGINT, tpot_s_bucket_01 BIGINT, tpot_s_bucket_02 BIGINT,
  tpot_s_bucket_03 BIGINT, tpot_s_bucket_04 BIGINT, tpot_s_bucket_05 BIGINT, tpot_s_bucket_06 BIGINT, tpot_s_bucket_07
  BIGINT, tpot_s_bucket_08 BIGINT, tpot_s_bucket_09 BIGINT, tpot_s_bucket_10 BIGINT, tpot_s_bucket_11 BIGINT,
  tpot_s_bucket_12 BIGINT, tpot_s_bucket_13 BIGINT, tpot_s_bucket_14 BIGINT, tpot_s_bucket_15 BIGINT, tpot_s_bucket_16
  BIGINT, tpot_s_bucket_17 BIGINT, tpot_s_bucket_18 BIGINT, tpot_s_bucket_19 BIGINT, tpot_s_bucket_20 BIGINT,
  tpot_s_bucket_21 BIGINT, tpot_s_bucket_22 BIGINT, tpot_s_bucket_23 BIGINT, tpot_s_bucket_24 BIGINT, tpot_s_bucket_25
  BIGINT, tpot_s_bucket_26 BIGINT, tpot_s_bucket_27 BIGINT, tpot_s_bucket_28 BIGINT, tpot_s_bucket_29 BIGINT,
  tpot_s_bucket_30 BIGINT, tpot_s_bucket_31 BIGINT, itl_s_sum DOUBLE PRECISION, itl_s_count BIGINT, itl_s_bounds_id
  TEXT, itl_s_bucket_00 BIGINT, itl_s_bucket_01 BIGINT, itl_s_bucket_02 BIGINT, itl_s_bucket_03 BIGINT,
  itl_s_bucket_04 BIGINT, itl_s_bucket_05 BIGINT, itl_s_bucket_06 BIGINT, itl_s_bucket_07 BIGINT, itl_s_bucket_08
  BIGINT, itl_s_bucket_09 BIGINT, itl_s_bucket_10 BIGINT, itl_s_bucket_11 BIGINT, itl_s_bucket_12 BIGINT,
  itl_s_bucket_13 BIGINT, itl_s_bucket_14 BIGINT, itl_s_bucket_15 BIGINT, itl_s_bucket_16 BIGINT, itl_s_bucket_17
  BIGINT, itl_s_bucket_18 BIGINT, itl_s_bucket_19 BIGINT, itl_s_bucket_20 BIGINT, itl_s_bucket_21 BIGINT,
  itl_s_bucket_22 BIGINT, itl_s_bucket_23 BIGINT, itl_s_bucket_24 BIGINT, itl_s_bucket_25 BIGINT, itl_s_bucket_26
  BIGINT, itl_s_bucket_27 BIGINT, itl_s_bucket_28 BIGINT, itl_s_bucket_29 BIGINT, itl_s_bucket_30 BIGINT,
  itl_s_bucket_31 BIGINT, e2e_s_sum DOUBLE PRECISION, e2e_s_count BIGINT, e2e_s_bounds_id TEXT, e2e_s_bucket_00
  BIGINT, e2e_s_bucket_01 BIGINT, e2e_s_bucket_02 BIGINT, e2e_s_bucket_03 BIGINT, e2e_s_bucket_04 BIGINT,
  e2e_s_bucket_05 BIGINT, e2e_s_bucket_06 BIGINT, e2e_s_bucket_07 BIGINT, e2e_s_bucket_08 BIGINT, e2e_s_bucket_09
  BIGINT, e2e_s_bucket_10 BIGINT, e2e_s_bucket_11 BIGINT, e2e_s_bucket_12 BIGINT, e2e_s_bucket_13 BIGINT,
  e2e_s_bucket_14 BIGINT, e2e_s_bucket_15 BIGINT, e2e_s_bucket_16 BIGINT, e2e_s_bucket_17 BIGINT, e2e_s_bucket_18
  BIGINT, e2e_s_bucket_19 BIGINT, e2e_s_bucket_20 BIGINT, e2e_s_bucket_21 BIGINT, e2e_s_bucket_22 BIGINT,
  e2e_s_bucket_23 BIGINT, e2e_s_bucket_24 BIGINT, e2e_s_bucket_25 BIGINT, e2e_s_bucket_26 BIGINT, e2e_s_bucket_27
  BIGINT, e2e_s_bucket_28 BIGINT, e2e_s_bucket_29 BIGINT, e2e_s_bucket_30 BIGINT, e2e_s_bucket_31 BIGINT, oldest_at
  TIMESTAMP WITHOUT TIME ZONE, newest_at TIMESTAMP WITHOUT TIME ZONE);

CREATE TABLE usage_minute (bin_start TIMESTAMP WITHOUT TIME ZONE, target_key TEXT, model_key TEXT, engine_key TEXT,
  is_sample BOOLEAN, samples_count BIGINT, restarts_count BIGINT, observed_s DOUBLE PRECISION, gap_s DOUBLE PRECISION,
  coverage_s DOUBLE PRECISION, busy_s DOUBLE PRECISION, prompt_tokens BIGINT, computed_prompt_tokens BIGINT,
  cached_prompt_tokens BIGINT, generation_tokens BIGINT, requests_stop_count BIGINT, requests_length_count BIGINT,
  requests_abort_count BIGINT, requests_error_count BIGINT, requests_repetition_count BIGINT, finished_prompt_tokens
  BIGINT, finished_generation_tokens BIGINT, prefix_queries_tokens BIGINT, prefix_hits_tokens BIGINT,
  external_hits_tokens BIGINT, steps_count BIGINT, step_tokens BIGINT, preemptions_count BIGINT, queue_s DOUBLE
  PRECISION, prefill_s DOUBLE PRECISION, decode_s DOUBLE PRECISION, inference_s DOUBLE PRECISION, drafts_count BIGINT,
  draft_tokens BIGINT, accepted_tokens BIGINT, accepted_at_00_tokens BIGINT, accepted_at_01_tokens BIGINT,
  accepted_at_02_tokens BIGINT, accepted_at_03_tokens BIGINT, accepted_at_04_tokens BIGINT, accepted_at_05_tokens
  BIGINT, accepted_at_06_tokens BIGINT, accepted_at_07_tokens BIGINT, accepted_at_08_tokens BIGINT,
  accepted_at_09_tokens BIGINT, accepted_at_10_tokens BIGINT, accepted_at_11_tokens BIGINT, accepted_at_12_tokens
  BIGINT, accepted_at_13_tokens BIGINT, accepted_at_14_tokens BIGINT, accepted_at_15_tokens BIGINT, estimated_flop
  DOUBLE PRECISION, estimated_read_bytes DOUBLE PRECISION, estimated_write_bytes DOUBLE PRECISION, running_count
  DOUBLE PRECISION, waiting_count DOUBLE PRECISION, waiting_capacity_count DOUBLE PRECISION, waiting_deferred_count
  DOUBLE PRECISION, kv_usage_fraction DOUBLE PRECISION, awake_fraction DOUBLE PRECISION, kv_usage_p50_fraction DOUBLE
  PRECISION, kv_usage_p95_fraction DOUBLE PRECISION, kv_usage_max_fraction DOUBLE PRECISION, ttft_s_sum DOUBLE
  PRECISION, ttft_s_count BIGINT, ttft_s_bounds_id TEXT, ttft_s_bucket_00 BIGINT, ttft_s_bucket_01 BIGINT,
  ttft_s_bucket_02 BIGINT, ttft_s_bucket_03 BIGINT, ttft_s_bucket_04 BIGINT, ttft_s_bucket_05 BIGINT, ttft_s_bucket_06
  BIGINT, ttft_s_bucket_07 BIGINT, ttft_s_bucket_08 BIGINT, ttft_s_bucket_09 BIGINT, ttft_s_bucket_10 BIGINT,
  ttft_s_bucket_11 BIGINT, ttft_s_bucket_12 BIGINT, ttft_s_bucket_13 BIGINT, ttft_s_bucket_14 BIGINT, ttft_s_bucket_15
  BIGINT, ttft_s_bucket_16 BIGINT, ttft_s_bucket_17 BIGINT, ttft_s_bucket_18 BIGINT, ttft_s_bucket_19 BIGINT,
  ttft_s_bucket_20 BIGINT, ttft_s_bucket_21 BIGINT, ttft_s_bucket_22 BIGINT, ttft_s_bucket_23 BIGINT, ttft_s_bucket_24
  BIGINT, ttft_s_bucket_25 BIGINT, ttft_s_bucket_26 BIGINT, ttft_s_bucket_27 BIGINT, ttft_s_bucket_28 BIGINT,
  ttft_s_bucket_29 BIGINT, ttft_s_bucket_30 BIGINT, ttft_s_bucket_31 BIGINT, tpot_s_sum DOUBLE PRECISION, tpot_s_count
  BIGINT, tpot_s_bounds_id TEXT, tpot_s_bucket_00 BIGINT, tpot_s_bucket_01 BIGINT, tpot_s_bucket_02 BIGINT,
  tpot_s_bucket_03 BIGINT, tpot_s_bucket_04 BIGINT, tpot_s_bucket_05 BIGINT, tpot_s_bucket_06 BIGINT, tpot_s_bucket_07
  BIGINT, tpot_s_bucket_08 BIGINT, tpot_s_bucket_09 BIGINT, tpot_s_bucket_10 BIGINT, tpot_s_bucket_11 BIGINT,
  tpot_s_bucket_12 BIGINT, tpot_s_bucket_13 BIGINT, tpot_s_bucket_14 BIGINT, tpot_s_bucket_15 BIGINT, tpot_s_bucket_16
  BIGINT, tpot_s_bucket_17 BIGINT, tpot_s_bucket_18 BIGINT, tpot_s_bucket_19 BIGINT, tpot_s_bucket_20 BIGINT,
  tpot_s_bucket_21 BIGINT, tpot_s_bucket_22 BIGINT, tpot_s_bucket_23 BIGINT, tpot_s_bucket_24 BIGINT, tpot_s_bucket_25
  BIGINT, tpot_s_bucket_26 BIGINT, tpot_s_bucket_27 BIGINT, tpot_s_bucket_28 BIGINT, tpot_s_bucket_29 BIGINT,
  tpot_s_bucket_30 BIGINT, tpot_s_bucket_31 BIGINT, itl_s_sum DOUBLE PRECISION, itl_s_count BIGINT, itl_s_bounds_id
  TEXT, itl_s_bucket_00 BIGINT, itl_s_bucket_01 BIGINT, itl_s_bucket_02 BIGINT, itl_s_bucket_03 BIGINT,
  itl_s_bucket_04 BIGINT, itl_s_bucket_05 BIGINT, itl_s_bucket_06 BIGINT, itl_s_bucket_07 BIGINT, itl_s_bucket_08
  BIGINT, itl_s_bucket_09 BIGINT, itl_s_bucket_10 BIGINT, itl_s_bucket_11 BIGINT, itl_s_bucket_12 BIGINT,
  itl_s_bucket_13 BIGINT, itl_s_bucket_14 BIGINT, itl_s_bucket_15 BIGINT, itl_s_bucket_16 BIGINT, itl_s_bucket_17
  BIGINT, itl_s_bucket_18 BIGINT, itl_s_bucket_19 BIGINT, itl_s_bucket_20 BIGINT, itl_s_bucket_21 BIGINT,
  itl_s_bucket_22 BIGINT, itl_s_bucket_23 BIGINT, itl_s_bucket_24 BIGINT, itl_s_bucket_25 BIGINT, itl_s_bucket_26
  BIGINT, itl_s_bucket_27 BIGINT, itl_s_bucket_28 BIGINT, itl_s_bucket_29 BIGINT, itl_s_bucket_30 BIGINT,
  itl_s_bucket_31 BIGINT, e2e_s_sum DOUBLE PRECISION, e2e_s_count BIGINT, e2e_s_bounds_id TEXT, e2e_s_bucket_00
  BIGINT, e2e_s_bucket_01 BIGINT, e2e_s_bucket_02 BIGINT, e2e_s_bucket_03 BIGINT, e2e_s_bucket_04 BIGINT,
  e2e_s_bucket_05 BIGINT, e2e_s_bucket_06 BIGINT, e2e_s_bucket_07 BIGINT, e2e_s_bucket_08 BIGINT, e2e_s_bucket_09
  BIGINT, e2e_s_bucket_10 BIGINT, e2e_s_bucket_11 BIGINT, e2e_s_bucket_12 BIGINT, e2e_s_bucket_13 BIGINT,
  e2e_s_bucket_14 BIGINT, e2e_s_bucket_15 BIGINT, e2e_s_bucket_16 BIGINT, e2e_s_bucket_17 BIGINT, e2e_s_bucket_18
  BIGINT, e2e_s_bucket_19 BIGINT, e2e_s_bucket_20 BIGINT, e2e_s_bucket_21 BIGINT, e2e_s_bucket_22 BIGINT,
  e2e_s_bucket_23 BIGINT, e2e_s_bucket_24 BIGINT, e2e_s_bucket_25 BIGINT, e2e_s_bucket_26 BIGINT, e2e_s_bucket_27
  BIGINT, e2e_s_bucket_28 BIGINT, e2e_s_bucket_29 BIGINT, e2e_s_bucket_30 BIGINT, e2e_s_bucket_31 BIGINT, oldest_at
  TIMESTAMP WITHOUT TIME ZONE, newest_at TIMESTAMP WITHOUT TIME ZONE);

CREATE TABLE usage_sample (target_key TEXT, model_key TEXT, engine_key TEXT, scraped_at TIMESTAMP WITHOUT TIME ZONE,
  interval_s DOUBLE PRECISION, state TEXT, restarted BOOLEAN, is_sample BOOLEAN, prompt_tokens BIGINT,
  computed_prompt_tokens BIGINT, cached_prompt_tokens BIGINT, generation_tokens BIGINT, requests_stop_count BIGINT,
  requests_length_count BIGINT, requests_abort_count BIGINT, requests_error_count BIGINT, requests_repetition_count
  BIGINT, finished_prompt_tokens BIGINT, finished_generation_tokens BIGINT, prefix_queries_tokens BIGINT,
  prefix_hits_tokens BIGINT, external_hits_tokens BIGINT, steps_count BIGINT, step_tokens BIGINT, preemptions_count
  BIGINT, queue_s DOUBLE PRECISION, prefill_s DOUBLE PRECISION, decode_s DOUBLE PRECISION, inference_s DOUBLE
  PRECISION, drafts_count BIGINT, draft_tokens BIGINT, accepted_tokens BIGINT, accepted_at_00_tokens BIGINT,
  accepted_at_01_tokens BIGINT, accepted_at_02_tokens BIGINT, accepted_at_03_tokens BIGINT, accepted_at_04_tokens
  BIGINT, accepted_at_05_tokens BIGINT, accepted_at_06_tokens BIGINT, accepted_at_07_tokens BIGINT,
  accepted_at_08_tokens BIGINT, accepted_at_09_tokens BIGINT, accepted_at_10_tokens BIGINT, accepted_at_11_tokens
  BIGINT, accepted_at_12_tokens BIGINT, accepted_at_13_tokens BIGINT, accepted_at_14_tokens BIGINT,
  accepted_at_15_tokens BIGINT, estimated_flop DOUBLE PRECISION, estimated_read_bytes DOUBLE PRECISION,
  estimated_write_bytes DOUBLE PRECISION, running_count DOUBLE PRECISION, waiting_count DOUBLE PRECISION,
  waiting_capacity_count DOUBLE PRECISION, waiting_deferred_count DOUBLE PRECISION, kv_usage_fraction DOUBLE
  PRECISION, awake_fraction DOUBLE PRECISION, ttft_s_sum DOUBLE PRECISION, ttft_s_count BIGINT, ttft_s_bounds_id TEXT,
  ttft_s_bucket_00 BIGINT, ttft_s_bucket_01 BIGINT, ttft_s_bucket_02 BIGINT, ttft_s_bucket_03 BIGINT, ttft_s_bucket_04
  BIGINT, ttft_s_bucket_05 BIGINT, ttft_s_bucket_06 BIGINT, ttft_s_bucket_07 BIGINT, ttft_s_bucket_08 BIGINT,
  ttft_s_bucket_09 BIGINT, ttft_s_bucket_10 BIGINT, ttft_s_bucket_11 BIGINT, ttft_s_bucket_12 BIGINT, ttft_s_bucket_13
  BIGINT, ttft_s_bucket_14 BIGINT, ttft_s_bucket_15 BIGINT, ttft_s_bucket_16 BIGINT, ttft_s_bucket_17 BIGINT,
  ttft_s_bucket_18 BIGINT, ttft_s_bucket_19 BIGINT, ttft_s_bucket_20 BIGINT, ttft_s_bucket_21 BIGINT, ttft_s_bucket_22
  BIGINT, ttft_s_bucket_23 BIGINT, ttft_s_bucket_24 BIGINT, ttft_s_bucket_25 BIGINT, ttft_s_bucket_26 BIGINT,
  ttft_s_bucket_27 BIGINT, ttft_s_bucket_28 BIGINT, ttft_s_bucket_29 BIGINT, ttft_s_bucket_30 BIGINT, ttft_s_bucket_31
  BIGINT, tpot_s_sum DOUBLE PRECISION, tpot_s_count BIGINT, tpot_s_bounds_id TEXT, tpot_s_bucket_00 BIGINT,
  tpot_s_bucket_01 BIGINT, tpot_s_bucket_02 BIGINT, tpot_s_bucket_03 BIGINT, tpot_s_bucket_04 BIGINT, tpot_s_bucket_05
  BIGINT, tpot_s_bucket_06 BIGINT, tpot_s_bucket_07 BIGINT, tpot_s_bucket_08 BIGINT, tpot_s_bucket_09 BIGINT,
  tpot_s_bucket_10 BIGINT, tpot_s_bucket_11 BIGINT, tpot_s_bucket_12 BIGINT, tpot_s_bucket_13 BIGINT, tpot_s_bucket_14
  BIGINT, tpot_s_bucket_15 BIGINT, tpot_s_bucket_16 BIGINT, tpot_s_bucket_17 BIGINT, tpot_s_bucket_18 BIGINT,
  tpot_s_bucket_19 BIGINT, tpot_s_bucket_20 BIGINT, tpot_s_bucket_21 BIGINT, tpot_s_bucket_22 BIGINT, tpot_s_bucket_23
  BIGINT, tpot_s_bucket_24 BIGINT, tpot_s_bucket_25 BIGINT, tpot_s_bucket_26 BIGINT, tpot_s_bucket_27 BIGINT,
  tpot_s_bucket_28 BIGINT, tpot_s_bucket_29 BIGINT, tpot_s_bucket_30 BIGINT, tpot_s_bucket_31 BIGINT, itl_s_sum DOUBLE
  PRECISION, itl_s_count BIGINT, itl_s_bounds_id TEXT, itl_s_bucket_00 BIGINT, itl_s_bucket_01 BIGINT, itl_s_bucket_02
  BIGINT, itl_s_bucket_03 BIGINT, itl_s_bucket_04 BIGINT, itl_s_bucket_05 BIGINT, itl_s_bucket_06 BIGINT,
  itl_s_bucket_07 BIGINT, itl_s_bucket_08 BIGINT, itl_s_bucket_09 BIGINT, itl_s_bucket_10 BIGINT, itl_s_bucket_11
  BIGINT, itl_s_bucket_12 BIGINT, itl_s_bucket_13 BIGINT, itl_s_bucket_14 BIGINT, itl_s_bucket_15 BIGINT,
  itl_s_bucket_16 BIGINT, itl_s_bucket_17 BIGINT, itl_s_bucket_18 BIGINT, itl_s_bucket_19 BIGINT, itl_s_bucket_20
  BIGINT, itl_s_bucket_21 BIGINT, itl_s_bucket_22 BIGINT, itl_s_bucket_23 BIGINT, itl_s_bucket_24 BIGINT,
  itl_s_bucket_25 BIGINT, itl_s_bucket_26 BIGINT, itl_s_bucket_27 BIGINT, itl_s_bucket_28 BIGINT, itl_s_bucket_29
  BIGINT, itl_s_bucket_30 BIGINT, itl_s_bucket_31 BIGINT, e2e_s_sum DOUBLE PRECISION, e2e_s_count BIGINT,
  e2e_s_bounds_id TEXT, e2e_s_bucket_00 BIGINT, e2e_s_bucket_01 BIGINT, e2e_s_bucket_02 BIGINT, e2e_s_bucket_03
  BIGINT, e2e_s_bucket_04 BIGINT, e2e_s_bucket_05 BIGINT, e2e_s_bucket_06 BIGINT, e2e_s_bucket_07 BIGINT,
  e2e_s_bucket_08 BIGINT, e2e_s_bucket_09 BIGINT, e2e_s_bucket_10 BIGINT, e2e_s_bucket_11 BIGINT, e2e_s_bucket_12
  BIGINT, e2e_s_bucket_13 BIGINT, e2e_s_bucket_14 BIGINT, e2e_s_bucket_15 BIGINT, e2e_s_bucket_16 BIGINT,
  e2e_s_bucket_17 BIGINT, e2e_s_bucket_18 BIGINT, e2e_s_bucket_19 BIGINT, e2e_s_bucket_20 BIGINT, e2e_s_bucket_21
  BIGINT, e2e_s_bucket_22 BIGINT, e2e_s_bucket_23 BIGINT, e2e_s_bucket_24 BIGINT, e2e_s_bucket_25 BIGINT,
  e2e_s_bucket_26 BIGINT, e2e_s_bucket_27 BIGINT, e2e_s_bucket_28 BIGINT, e2e_s_bucket_29 BIGINT, e2e_s_bucket_30
  BIGINT, e2e_s_bucket_31 BIGINT);
