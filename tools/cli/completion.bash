# completion.bash - completion of the perilune command for bash.
#
#	. tools/cli/completion.bash
#
# Commands and options come from the program's own help; names of functions
# from the server, if one runs.

_perilune_words() {
	local command=${COMP_WORDS[0]} name=${COMP_WORDS[1]-}
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}

	if ((COMP_CWORD == 1)); then
		"$command" help --names 2>/dev/null
		printf '%s\n' help --help --version
		return
	fi
	case $before in
	--template | -t) printf '%s\n' http json upload ;;
	--kind) printf '%s\n' image build fork warm all ;;
	--start) printf '%s\n' image build fork warm ;;
	--by) printf '%s\n' function day hour ;;
	--since | --until) printf '%s\n' 1h 1d 1w today yesterday ;;
	--function) "$command" ls -q 2>/dev/null ;;
	*)
		if [[ $word == -* ]]; then
			"$command" "$name" --help 2>/dev/null |
			    grep -oE '^  (-[a-zA-Z], )?--[a-z-]+' |
			    grep -oE -- '--[a-z-]+'
			printf '%s\n' --help
			return
		fi
		case $name in
		help) "$command" help --names 2>/dev/null ;;
		describe | invoke | logs | coldstart | invocations)
			"$command" ls -q 2>/dev/null
			;;
		esac
		;;
	esac
}

_perilune() {
	local word=${COMP_WORDS[COMP_CWORD]}

	mapfile -t COMPREPLY < <(compgen -W "$(_perilune_words)" -- "$word")
}

complete -o default -F _perilune perilune
