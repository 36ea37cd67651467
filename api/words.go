package api

// Word is a word of the wire, and a sentence for people that explains it. Programs may branch on the word.
type Word struct{ Word, Means string }

// The reasons of conditions, and of the details of errors and activities. Reasons explains each.
const (
	ReasonDeclared       = "Declared"
	ReasonRunning        = "Running"
	ReasonHealthStarting = "HealthStarting"
	ReasonUnhealthy      = "Unhealthy"
	ReasonWaitingForFlow = "WaitingForFlow"
	ReasonCreated        = "Created"
	ReasonStopped        = "Stopped"
	ReasonPaused         = "Paused"
	ReasonDead           = "Dead"
	ReasonCompleted      = "Completed"
	ReasonFailed         = "Failed"
	ReasonGaveUp         = "GaveUp"
	ReasonInterrupted    = "Interrupted"
	ReasonLasting        = "Lasting"
	ReasonMonitoringRun  = "MonitoringRun"

	ReasonSettled        = "Settled"
	ReasonBackOff        = "BackOff"
	ReasonRetrying       = "Retrying"
	ReasonRemoving       = "Removing"
	ReasonStopping       = "Stopping"
	ReasonWaitingForStop = "WaitingForStop"
	ReasonWaitingForTurn = "WaitingForTurn"
	ReasonPulling        = "Pulling"
	ReasonCopyingCode    = "CopyingCode"
	ReasonMonitoring     = "Monitoring"

	ReasonAsExpected            = "AsExpected"
	ReasonCrashLoop             = "CrashLoop"
	ReasonUpdateFailed          = "UpdateFailed"
	ReasonNameConflict          = "NameConflict"
	ReasonLimitsRefused         = "LimitsRefused"
	ReasonSocketLost            = "SocketLost"
	ReasonSocketFailed          = "SocketFailed"
	ReasonEngineLost            = "EngineLost"
	ReasonStartFailed           = "StartFailed"
	ReasonImageNotFound         = "ImageNotFound"
	ReasonImagePullFailed       = "ImagePullFailed"
	ReasonImagePullUnauthorized = "ImagePullUnauthorized"
	ReasonCodeChanging          = "CodeChanging"
	ReasonCodeRefused           = "CodeRefused"
	ReasonCodeCopyFailed        = "CodeCopyFailed"
	ReasonCodeCopyTimeout       = "CodeCopyTimeout"
	ReasonNoFreePort            = "NoFreePort"
	ReasonPortTaken             = "PortTaken"
	ReasonAddressNotAvailable   = "AddressNotAvailable"
	ReasonNetworkNotFound       = "NetworkNotFound"
	ReasonUserNotFound          = "UserNotFound"
	ReasonNoSpace               = "NoSpace"
	ReasonPolicyViolation       = "PolicyViolation"
	ReasonInvalidSpec           = "InvalidSpec"
	ReasonEngineError           = "EngineError"
	ReasonEngineTimeout         = "EngineTimeout"
	ReasonActionFailed          = "ActionFailed"

	ReasonEngineUnavailable = "EngineUnavailable"
	ReasonEngineChanged     = "EngineChanged"
	ReasonForeignContainer  = "ForeignContainer"
	ReasonRecordQuarantined = "RecordQuarantined"
	ReasonStoreNotWritable  = "StoreNotWritable"
	ReasonStoreRestored     = "StoreRestored"
	ReasonShuttingDown      = "ShuttingDown"

	ReasonTokenMissing   = "missing"
	ReasonTokenMalformed = "malformed"
	ReasonTokenUnknown   = "unknown"
	ReasonTokenExpired   = "expired"
	ReasonTokenRevoked   = "revoked"
	ReasonTokenChanged   = "changed"
)

// Reasons explains every reason, and says what to do where somebody has to act.
func Reasons() []Word {
	return []Word{
		// Ready and Available.
		{ReasonDeclared, "It was declared a moment ago, and nothing was seen of it yet."},
		{ReasonRunning, "It runs, and its health and readiness are as declared."},
		{ReasonHealthStarting, "It runs, and its health check has not passed yet."},
		{ReasonUnhealthy, "It runs, and its health check fails or the flow is silent; look at what the check says and at its output."},
		{ReasonWaitingForFlow, "It runs, and the flow has not said yet that it is ready."},
		{ReasonCreated, "It is made and not to run, or is not made yet."},
		{ReasonStopped, "It is declared stopped, and does not run."},
		{ReasonPaused, "Its processes are paused."},
		{ReasonDead, "The engine has given its container up, and another one takes its place."},
		{ReasonCompleted, "It ended with code 0, and its restart policy leaves it alone."},
		{ReasonFailed, "It ended with another code than 0, and its restart policy never restarts it; look at its output, and start it again."},
		{ReasonGaveUp, "It ended more often in a row than max_attempts allows, so it is not restarted any more; look at its output, and start it once its cause is mended."},
		{ReasonInterrupted, "The host or the engine ended it, and its restart policy never restarts it; start it again."},
		{ReasonLasting, "This run is ready and has lasted for monitor_seconds."},
		{ReasonMonitoringRun, "This run is ready, and has not lasted for monitor_seconds yet."},
		// Progressing.
		{ReasonSettled, "Nothing is under way."},
		{ReasonBackOff, "It ended by itself, and its next start waits."},
		{ReasonRetrying, "Something did not work, and the next attempt waits; Degraded says what."},
		{ReasonRemoving, "It is being deleted, or the engine is removing its container."},
		{ReasonStopping, "It was asked to stop, and is killed when its grace is over."},
		{ReasonWaitingForStop, "Another container of it has to stop before this one starts."},
		{ReasonWaitingForTurn, "The engine was lost a while ago, so containers are started one by one, and this one waits for its turn."},
		{ReasonPulling, "Its image is being pulled."},
		{ReasonCopyingCode, "Its code is being copied or checked."},
		{ReasonMonitoring, "An update has taken over, and is watched before it stands for good."},
		// Degraded.
		{ReasonAsExpected, "Nothing is wrong."},
		{ReasonCrashLoop, "It ended at least twice in a row, and is restarted with growing delays; look at its output and its command."},
		{ReasonUpdateFailed, "The update did not prove itself and was taken back, or is left as it is where on_failure says so; declare another one, or update_container with retry."},
		{ReasonNameConflict, "Another container of the engine has its name, so it runs under another one until that is free; rename or remove the other one."},
		{ReasonLimitsRefused, "The engine does not hold the container to its limits; declare limits that it can have while it runs, or roll back."},
		{ReasonSocketLost, "The folder of the flow's socket was made anew, and the running container has the old one; restart it where that does not happen by itself."},
		{ReasonSocketFailed, "The flow's socket could not be made; look at the space and the rights in the run directory."},
		{ReasonEngineLost, "The engine was lost each time that this container alone was being started, so it is not started any more; start it once the cause is mended."},
		{ReasonStartFailed, "The engine could not start the container; the message has what it says."},
		{ReasonImageNotFound, "The image is not on the engine, and cannot be pulled or must not be; check its name and tag, or load it."},
		{ReasonImagePullFailed, "The image could not be pulled, and it is tried again."},
		{ReasonImagePullUnauthorized, "The registry does not give the image to this host; log in there as the user that runs the manager, or check the name."},
		{ReasonCodeChanging, "The code changed while it was being copied, and it is tried again; leave it alone for a moment."},
		{ReasonCodeRefused, "The code has something that cannot be copied; the message names it."},
		{ReasonCodeCopyFailed, "The code could not be read, and it is tried again."},
		{ReasonCodeCopyTimeout, "The code could not be read in time, and it is tried again; leave out what the flow does not need."},
		{ReasonNoFreePort, "No port of the range is free, or a declared one is another container's; declare another one, or free it."},
		{ReasonPortTaken, "Something else on the host has the port; declare another one, or free it."},
		{ReasonAddressNotAvailable, "No interface of the host has the address that a port is to be published at; declare another one."},
		{ReasonNetworkNotFound, "The network is not on the engine; create it there, or declare another one."},
		{ReasonUserNotFound, "The image does not know the declared user or group; declare one that it has, or a number."},
		{ReasonNoSpace, "A file system of the host is full; free some space."},
		{ReasonPolicyViolation, "The manager's policy does not allow it any more; declare what it allows, or have it allowed."},
		{ReasonInvalidSpec, "The engine cannot make this container; declare another one, by what the message says."},
		{ReasonEngineTimeout, "The engine does not answer a step in time, again and again; look at its log and its disk."},
		{ReasonEngineError, "The engine refused a step, and it is tried again; the message has what it says."},
		{ReasonActionFailed, "A step did not work, and it is tried again; the message says why."},
		{VolumesNotRemoved, "It is being deleted, and its volumes cannot be removed yet; it is tried again."},
		{SocketNotRemoved, "It is being deleted, and its socket cannot be removed yet; it is tried again."},
		{CodeNotRemoved, "It is being deleted, and the copies of its code cannot be removed yet; it is tried again."},
		// Of the engine, of the manager and of its store.
		{ReasonEngineUnavailable, "The engine does not answer, so what is told is how it was last; it is looked at again once the engine is back."},
		{ReasonEngineChanged, "The manager reaches another engine than the one its store was written for, and acts upon nothing; give it the old one, or start it with --accept-engine."},
		{ReasonForeignContainer, "A container claims to be one of the manager's and is not, so it is left alone; remove it where it is not wanted."},
		{ReasonRecordQuarantined, "What the store has of this container cannot be read, so it is left alone; restore a backup, or give it up by store discard."},
		{ReasonStoreNotWritable, "The manager cannot write its store, so nothing was declared; its disk needs free space, or has errors."},
		{ReasonStoreRestored, "The store is a restored one, and nothing is acted upon until the manager is started once with --accept-restore."},
		{ReasonShuttingDown, "The manager is shutting down; ask the next one."},
		// Of a login.
		{ReasonTokenMissing, "The manager wants a token, and none was given."},
		{ReasonTokenMalformed, "What was given is no token; copy it whole."},
		{ReasonTokenUnknown, "The token is not known here; have another one made."},
		{ReasonTokenExpired, "The token's time is over; log in with another one."},
		{ReasonTokenRevoked, "The token was revoked; log in with another one."},
		{ReasonTokenChanged, "The token is for something else since; log in again."},
	}
}

// The causes of an action. Causes explains each.
const (
	CauseDeclaration = "declaration"
	CauseDrift       = "drift"
	CauseExit        = "exit"
	CauseUnhealthy   = "unhealthy"
	CauseRestart     = "restart"
	CauseRecovery    = "recovery"
	CauseUpdate      = "update"
)

// Causes explains every cause of an action.
func Causes() []Word {
	return []Word{
		{CauseDeclaration, "It was declared so."},
		{CauseDrift, "Somebody else changed or removed the container, and it is put right."},
		{CauseExit, "It ended by itself, and its restart policy starts it again."},
		{CauseUnhealthy, "It was not healthy, and its restart policy restarts it."},
		{CauseRestart, "A restart was asked for, or is needed for the flow's socket."},
		{CauseRecovery, "The manager, the engine or the host ended in the middle of something, and it is gone on with."},
		{CauseUpdate, "An update makes, watches, keeps or takes back a container."},
	}
}

// The actions that are told. Actions explains each.
const (
	ActionNone     = "none"
	ActionCreate   = "create"
	ActionStart    = "start"
	ActionStop     = "stop"
	ActionKill     = "kill"
	ActionRestart  = "restart"
	ActionPause    = "pause"
	ActionUnpause  = "unpause"
	ActionRemove   = "remove"
	ActionUpdate   = "update"
	ActionRollback = "rollback"
	ActionLimit    = "limit"
	ActionConnect  = "connect"
	ActionRename   = "rename"
)

// Actions explains every action.
func Actions() []Word {
	return []Word{
		{ActionNone, "Nothing is to be done now."},
		{ActionCreate, "A container is made."},
		{ActionStart, "The container is started."},
		{ActionStop, "The container is asked to stop."},
		{ActionKill, "The container is killed: its grace is over, or it must not run beside another one."},
		{ActionRestart, "The run is replaced by another one of the same container."},
		{ActionPause, "Its processes are paused."},
		{ActionUnpause, "Its processes go on."},
		{ActionRemove, "The container is removed, or what is left of it."},
		{ActionUpdate, "An update goes on: what is declared takes the place of what stands."},
		{ActionRollback, "The update is taken back: what stood before stands again."},
		{ActionLimit, "Limits or the engine's restart policy are changed in place."},
		{ActionConnect, "The container is attached to its network."},
		{ActionRename, "The container is renamed."},
	}
}
