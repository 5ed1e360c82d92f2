package listener

import "strconv"

// AppendJSON appends the entry as one JSON object (RFC 8259) without a line
// break. The keys are ALB's field names in ALB's order; the three fields that
// hold several values are split, and named, as in AWS's table for Athena:
// client_ip and client_port, target_ip and target_port, request_verb, request_url
// and request_proto. Every key is always there, and an absent value is null. The
// text is ASCII. Like AppendALB it never fails and allocates nothing but the
// growth of b.
func (e *AccessEntry) AppendJSON(b []byte) []byte {
	b = appendJSONText(append(b, '{'), "type", e.Type, MaxLogToken)
	b = appendJSONTime(b, "time", e.Time)
	b = appendJSONText(b, "elb", e.ELB, MaxLogToken)
	b = appendJSONAddr(b, "client_ip", e.Client.Addr())
	b = appendJSONInt(b, "client_port", int64(e.Client.Port()))
	b = e.appendJSONTraffic(b)
	b = appendJSONName(b, "ssl_cipher", CipherName(e.Cipher), e.Cipher)
	b = appendJSONName(b, "ssl_protocol", TLSVersionName(e.TLSVersion), e.TLSVersion)
	b = appendJSONText(b, "target_group_arn", e.TargetGroup, MaxLogToken)
	b = appendJSONText(b, "trace_id", e.TraceID, MaxLogTraceID)
	b = appendJSONText(b, "domain_name", e.DomainName, MaxLogServerName)
	b = appendJSONText(b, "chosen_cert_arn", e.ChosenCert, MaxLogToken)
	b = e.appendJSONMatchedRule(b)
	b = appendJSONTime(b, "request_creation_time", e.RequestCreationTime)
	b = appendJSONText(b, "actions_executed", e.ActionsExecuted, MaxLogToken)
	b = appendJSONText(b, "redirect_url", e.RedirectURL, MaxLogURI)
	b = appendJSONText(b, "error_reason", e.ErrorReason, MaxLogToken)
	b = appendJSONText(b, "target_port_list", e.Target, MaxLogToken)
	b = appendJSONStatus(b, "target_status_code_list", e.TargetStatus)
	b = appendJSONText(b, "classification", e.Classification, MaxLogToken)
	b = appendJSONText(b, "classification_reason", e.ClassificationReason, MaxLogToken)
	b = appendJSONText(b, "conn_trace_id", e.ConnTraceID, MaxLogToken)
	b = appendJSONText(b, "transformed_host", e.TransformedHost, MaxLogHost)
	b = appendJSONText(b, "transformed_uri", e.TransformedURI, MaxLogURI)
	b = appendJSONText(b, "request_transform_status", e.TransformStatus, MaxLogToken)
	b = appendJSONAddr(b, "ip_address", e.IPAddress)
	b = appendJSONText(b, "listener", e.Listener, MaxLogToken)
	b = appendJSONText(b, "vpce_id", e.VPCEndpointID, MaxLogToken)
	b = appendJSONText(b, "refusal_id", e.RefusalID, MaxLogToken)
	return append(b, '}')
}

// appendJSONTraffic writes fields 5 to 14.
func (e *AccessEntry) appendJSONTraffic(b []byte) []byte {
	b = e.appendJSONTarget(b)
	b = appendJSONSeconds(b, "request_processing_time", e.RequestProcessingTime)
	b = appendJSONSeconds(b, "target_processing_time", e.TargetProcessingTime)
	b = appendJSONSeconds(b, "response_processing_time", e.ResponseProcessingTime)
	b = appendJSONStatus(b, "elb_status_code", e.ELBStatus)
	b = appendJSONStatus(b, "target_status_code", e.TargetStatus)
	b = appendJSONInt(b, "received_bytes", e.ReceivedBytes)
	b = appendJSONInt(b, "sent_bytes", e.SentBytes)
	b = appendJSONText(b, "request_verb", e.Method, MaxLogMethod)
	b = e.appendJSONURL(b)
	b = appendJSONText(b, "request_proto", e.Proto, MaxLogMethod)
	return appendJSONText(b, "user_agent", e.UserAgent, MaxLogUserAgent)
}

func (e *AccessEntry) appendJSONTarget(b []byte) []byte {
	host, port := splitTarget(e.Target)
	b = appendJSONText(b, "target_ip", host, MaxLogToken)
	b = appendJSONKey(b, "target_port")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return append(b, "null"...)
	}
	return strconv.AppendUint(b, n, 10)
}

// appendJSONURL writes what request_line has between method and protocol.
func (e *AccessEntry) appendJSONURL(b []byte) []byte {
	b = append(appendJSONKey(b, "request_url"), '"')
	b = append(b, e.scheme()...)
	b = append(b, "://"...)
	if e.Host == "" {
		b = appendLogAddr(b, e.IPAddress)
	} else {
		b = appendJSONBody(b, cutUTF8(logHost(e.Host), MaxLogHost))
	}
	b = strconv.AppendUint(append(b, ':'), uint64(e.ListenerPort), 10)
	return append(appendJSONBody(b, cutUTF8(logURI(e.URI), MaxLogURI)), '"')
}

func (e *AccessEntry) appendJSONMatchedRule(b []byte) []byte {
	if e.MatchedRule < MatchedRuleError {
		return append(appendJSONKey(b, "matched_rule_priority"), "null"...)
	}
	return appendJSONInt(b, "matched_rule_priority", int64(e.MatchedRule))
}

// appendJSONStatus writes "key":status, or null if there is none.
func appendJSONStatus(b []byte, key string, status int) []byte {
	if status <= 0 {
		return append(appendJSONKey(b, key), "null"...)
	}
	return appendJSONInt(b, key, int64(status))
}
