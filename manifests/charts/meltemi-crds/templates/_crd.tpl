{{- /* "yes" when the CRD of this name is this release's to write: it does not exist, or this release made it. */ -}}
{{- define "meltemi-crds.ours" -}}
{{- $found := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" .name }}
{{- $notes := dig "metadata" "annotations" dict $found }}
{{- $release := index $notes "meta.helm.sh/release-name" | default "" }}
{{- $namespace := index $notes "meta.helm.sh/release-namespace" | default "" }}
{{- if or (not $found) .root.Values.takeOver (and (eq $release .root.Release.Name) (eq $namespace .root.Release.Namespace)) }}yes{{ end }}
{{- end }}

{{- /* The CRD of one kind. Uninstalling the chart leaves it: with it, all objects of the kind would be deleted. */ -}}
{{- define "meltemi-crds.crd" -}}
{{- $kind := .kind }}
{{- $inert := .kind.withoutEffect | default false }}
{{- $name := printf "%s.%s" $kind.plural $kind.group }}
{{- if eq "yes" (include "meltemi-crds.ours" (dict "root" .root "name" $name)) }}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {{ $name }}
  labels:
    app: meltemi
    app.kubernetes.io/name: meltemi-crds
    app.kubernetes.io/part-of: meltemi
    app.kubernetes.io/managed-by: {{ .root.Release.Service }}
    app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
    helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
  annotations:
    helm.sh/resource-policy: keep
spec:
  group: {{ $kind.group }}
  scope: Namespaced
  names:
    kind: {{ $kind.kind }}
    listKind: {{ $kind.kind }}List
    plural: {{ $kind.plural }}
    singular: {{ lower $kind.kind }}
    categories: [istio-io, {{ $kind.group | replace "." "-" }}]
    {{- with $kind.shortNames }}
    shortNames: {{ toJson . }}
    {{- end }}
  versions:
    {{- range $index, $version := $kind.versions }}
    - name: {{ $version }}
      served: true
      storage: {{ eq $index 0 }}
      {{- if $inert }}
      deprecated: true
      deprecationWarning: {{ printf "Meltemi: %s is not supported yet: it has no effect" $kind.kind | quote }}
      {{- end }}
      subresources:
        status: {}
      additionalPrinterColumns:
        {{- with $kind.columns }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- if not $inert }}
        - name: Ready
          type: string
          description: Whether the mesh follows the object; its status says why not.
          jsonPath: .status.conditions[?(@.type=="Ready")].status
        {{- end }}
        - name: Age
          type: date
          description: Time since the object was made.
          jsonPath: .metadata.creationTimestamp
      schema:
        openAPIV3Schema:
          type: object
          {{- if dig "spec" "required" false $kind }}
          required: [spec]
          {{- end }}
          properties:
            spec:
              {{- $kind.spec | default (dict "type" "object" "x-kubernetes-preserve-unknown-fields" true) | toYaml | nindent 14 }}
            status:
              {{- include "meltemi-crds.status" . | nindent 14 }}
    {{- end }}
{{- end }}
{{- end }}

{{- /* The status that every kind has. */ -}}
{{- define "meltemi-crds.status" -}}
description: What became of the object; written by the control plane.
type: object
x-kubernetes-preserve-unknown-fields: true
properties:
  observedGeneration:
    description: The generation of the object that this status is about.
    type: integer
    format: int64
  conditions:
    type: array
    x-kubernetes-list-type: map
    x-kubernetes-list-map-keys: [type]
    items:
      type: object
      x-kubernetes-preserve-unknown-fields: true
      required: [type, status]
      properties:
        type:
          type: string
        status:
          type: string
          enum: ["True", "False", Unknown]
        observedGeneration:
          description: The generation of the object that this condition is about.
          type: integer
          format: int64
        lastTransitionTime:
          description: When the status last changed.
          type: string
          format: date-time
        reason:
          description: The reason in one word.
          type: string
        message:
          description: The reason for people, with what to do.
          type: string
{{- end }}
